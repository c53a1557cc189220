"""The ceiling on Cassandra: the driver's own unlogged batches, a hundred rows of one partition each."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Final

from cassandra.cluster import Cluster, Session
from cassandra.query import BatchStatement, BatchType, PreparedStatement

ROWS: Final = 100
IN_FLIGHT: Final = 8
BODY: Final = b"x" * 100
NO_DELAY: Final = [(6, 1, 1)]
"""(TCP, no delay, on): without it the driver's larger requests wait 40 ms for an acknowledgement."""
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS raw.message (log blob, id blob, body blob, content_type text, PRIMARY KEY (log, id))"
)


class Raw:
    """A table of its own, written by threads that wait for each of their batches."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._cluster = Cluster(list(hosts), sockopts=NO_DELAY)

    def __enter__(self) -> Raw:
        self._session: Session = self._cluster.connect()
        replication = "{'class': 'NetworkTopologyStrategy', 'dc1': 1}"
        self._session.execute(f"CREATE KEYSPACE IF NOT EXISTS raw WITH replication = {replication}")
        self._session.execute(_TABLE)
        self._insert: PreparedStatement = self._session.prepare(
            "INSERT INTO raw.message (log, id, body, content_type) VALUES (?, ?, ?, ?) USING TTL 259200"
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cluster.shutdown()

    def rows_per_s(self, seconds: float) -> float:
        """Write for so long; return the rate of rows."""
        stop_s, written = time.monotonic() + seconds, [0] * IN_FLIGHT
        threads = [
            threading.Thread(target=self._write, args=(number, stop_s, written)) for number in range(IN_FLIGHT)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(written) / seconds

    def _write(self, number: int, stop_s: float, written: list[int]) -> None:
        log, following = uuid.uuid4().bytes, 0
        while time.monotonic() < stop_s:
            batch = BatchStatement(batch_type=BatchType.UNLOGGED)
            for _ in range(ROWS):
                following += 1
                batch.add(self._insert, (log, following.to_bytes(16, "big"), BODY, None))
            self._session.execute(batch)
            written[number] += ROWS
