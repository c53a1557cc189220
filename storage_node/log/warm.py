"""What a node remembers of logs it used lately; losing any of it costs a read, never a guarantee."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from common.identifiers import LOWEST, MessageId
from common.limits import LOGS_KEPT_MAX
from storage_node.store.interface import LogAddress

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A table of bounded size that forgets what was not used for longest."""

    def __init__(self, make: Callable[[], V], *, size_max: int = LOGS_KEPT_MAX) -> None:
        self._make = make
        self._size_max = size_max
        self._values: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._values)

    def of(self, key: K) -> V:
        """Return the value of this key, new if there is none."""
        value = self._values.get(key)
        if value is None:
            value = self._make()
        self.put(key, value)
        return value

    def get(self, key: K, *, default: V) -> V:
        """Return the value of this key without counting it as a use."""
        return self._values.get(key, default)

    def put(self, key: K, value: V) -> None:
        """Set the value of this key, the one used last."""
        self._values.pop(key, None)
        if len(self._values) >= self._size_max:
            del self._values[next(iter(self._values))]
        self._values[key] = value

    def forget(self, key: K) -> None:
        """Forget it."""
        self._values.pop(key, None)


class Reading(NamedTuple):
    """A read that is under way."""

    began_s: float
    moment: int
    """``Buckets.moment`` at its beginning."""
    task: asyncio.Task[tuple[int, ...]]


class WarmLog:
    """One log (a partition in one lane) of a store with buckets."""

    __slots__ = (
        "announced",
        "bucket",
        "bucket_s",
        "bytes",
        "ended_s",
        "fence_read_s",
        "index",
        "index_moment",
        "index_read_s",
        "last",
        "last_moment",
        "led_s",
        "messages",
        "opened",
        "reading",
        "successor",
    )

    def __init__(self) -> None:
        self.bucket: int | None = None
        """Fenced: where it is written now."""
        self.bucket_s = float("-inf")
        """When this node last met it (monotonic seconds)."""
        self.messages = 0
        self.bytes = 0
        """What this node wrote into ``bucket``."""
        self.last: MessageId = LOWEST
        """Fenced: the fence's ``last`` was at least this, in the delayed lane its horizon."""
        self.last_moment = 0
        """When that was known: an index whose read began after this moment shows all that is at or below it."""
        self.fence_read_s = float("-inf")
        self.successor = 0
        """Fenced: the bucket that a closed one names, not there yet when that was last looked at, ``ended_s``."""
        self.ended_s = float("-inf")
        self.led_s = float("-inf")
        """When ``last`` was last moved without an append."""
        self.index: tuple[int, ...] = ()
        """Beginnings of its buckets, ascending, as read at ``index_read_s`` (monotonic seconds)."""
        self.index_read_s = float("-inf")
        self.index_moment = 0
        """When that read began, as ``Buckets.moment`` counts."""
        self.announced = 0
        """When the last of them was put into the index: bucket 0 has no other beginning."""
        self.reading: Reading | None = None
        """A read of the index that was begun ahead."""
        self.opened: set[int] = set()
        """Buckets that are surely in the index."""

    def learn_last(self, last: MessageId, *, moment: int) -> None:
        """Remember a higher ``last``; one that is known already rests on what it rested on."""
        if last > self.last:
            self.last, self.last_moment = last, moment


class Undelayed:
    """Delayed lanes that are known to be empty.  Only a store of one node lets this node know."""

    def __init__(self) -> None:
        self._empty: Recent[LogAddress, bool] = Recent(lambda: False)
        self.changes = 0
        """Counts what was put into delayed lanes: a look that spans a change proves nothing."""

    def __contains__(self, log: LogAddress) -> bool:
        return self._empty.get(log, default=False)

    def learn(self, log: LogAddress) -> None:
        """It is empty."""
        self._empty.put(log, True)

    def forget(self, log: LogAddress) -> None:
        """Something goes into it."""
        self.changes += 1
        self._empty.forget(log)
