"""Reading ahead: while a queue's row is read again, so are the indexes that the append behind it will rest on."""

from __future__ import annotations

from typing import Final

from storage_node.log.buckets import Buckets
from storage_node.log.warm import Recent
from storage_node.store.interface import LogAddress, QueueRow

LOGS_PER_QUEUE_MAX: Final = 4
QUEUES_KEPT_MAX: Final = 10_000


class Ahead:
    """Which plain logs of a queue were appended to lately, by the queue's name; a wrong guess costs a read."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets
        self._logs: Recent[tuple[str, str], list[LogAddress]] = Recent(list, size_max=QUEUES_KEPT_MAX)

    def note(self, row: QueueRow, log: LogAddress) -> None:
        """Remember that this log was appended to."""
        logs = self._logs.of((row.application, row.name))
        if log not in logs:
            logs.append(log)
            del logs[:-LOGS_PER_QUEUE_MAX]

    def begin(self, application: str, name: str) -> None:
        """Begin to read what the next append will ask for, beside the row that is being read."""
        for log in self._logs.get((application, name), default=[]):
            self._buckets.begin_index(log)
