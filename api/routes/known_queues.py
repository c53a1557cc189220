"""What a front-end process remembers of queues from replies: enough to fix a publish's partition beforehand.

It may be old at any time; nothing but speed and the choice of a partition rests on it.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from common.guarantees import Guarantee
from common.limits import QUEUES_REMEMBERED_MAX


class KnownQueue(NamedTuple):
    """What the last reply said of a queue."""

    partitions: int
    guarantee: Guarantee


class KnownQueues:
    """The queues used last."""

    def __init__(self, queues_max: int = QUEUES_REMEMBERED_MAX) -> None:
        self._queues: dict[tuple[str, str], KnownQueue] = {}
        self._queues_max = queues_max
        self._lock = threading.Lock()

    def get(self, application: str, queue: str) -> KnownQueue | None:
        """Return what is remembered of a queue."""
        return self._queues.get((application, queue))

    def learn(self, application: str, queue: str, known: KnownQueue) -> None:
        """Remember a queue, forgetting the one that was learned of the longest ago."""
        key = (application, queue)
        with self._lock:
            self._queues.pop(key, None)
            if len(self._queues) >= self._queues_max:
                del self._queues[next(iter(self._queues))]
            self._queues[key] = known

    def forget(self, application: str, queue: str) -> None:
        """Forget a queue, as after its deletion."""
        with self._lock:
            self._queues.pop((application, queue), None)
