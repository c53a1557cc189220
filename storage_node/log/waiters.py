"""Wake-ups inside the node: who waits for messages of a queue, and who wakes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from types import TracebackType
from typing import Final

from common.identifiers import QueueId
from storage_node.log.warm import Recent

GONE_KEPT_MAX: Final = 10_000
"""Internal ids given up lately: a request that found its queue before that begins to wait soon, or not at all."""


class QueueGoneError(Exception):
    """The queue was deleted or emptied: its internal id, under which this request waits, is given up."""


class Ending:
    """Tells one request to wait no longer, at whatever point of its way it is."""

    __slots__ = ("_watch", "ended")

    def __init__(self) -> None:
        self.ended = False
        self._watch: Watch | None = None

    def end(self) -> None:
        """End its wait, now or when it begins to: it answers what there is."""
        self.ended = True
        if self._watch is not None:
            self._watch.end()

    def attach(self, watch: Watch) -> None:
        """Name the watch that is to be ended."""
        self._watch = watch


ENDING: Final[ContextVar[Ending | None]] = ContextVar("ending", default=None)
"""That of the request which the current task works on; requests that don't wait have none."""


class Watch:
    """One waiting request.  It costs one entry in a table, and no task."""

    __slots__ = ("_ending", "_future", "_waiters", "gone", "partitions", "queue_id", "woken")

    def __init__(self, waiters: Waiters, queue_id: QueueId, partitions: frozenset[int]) -> None:
        self._waiters = waiters
        self._future: asyncio.Future[None] | None = None
        self._ending = ENDING.get()
        self.queue_id = queue_id
        self.partitions = partitions
        self.woken = False
        self.gone = False
        """Its queue was deleted or emptied."""

    def __enter__(self) -> Watch:
        self._waiters.add(self)
        if self._ending is not None:
            self._ending.attach(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiters.remove(self)

    @property
    def draining(self) -> bool:
        """The node or the front end that asked drains: answer what there is."""
        return self._waiters.draining or (self._ending is not None and self._ending.ended)

    async def wait(self, timeout_s: float) -> bool:
        """Wait until woken since the last wait (then at once), at most so long; ``False`` when time ran out.

        Also returns at once, ``False``, while the node or the front end that asked drains.

        Raises:
            QueueGoneError: at once, whether that was before the wait began or in it.
        """
        if not self.woken and not self.draining and not self.gone and timeout_s > 0:
            await self._sleep(timeout_s)
        if self.gone:
            raise QueueGoneError
        woken, self.woken = self.woken, False
        return woken

    async def _sleep(self, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._future = loop.create_future()
        timer = loop.call_later(timeout_s, self._end)
        try:
            await self._future
        finally:
            timer.cancel()
            self._future = None

    def wake(self) -> None:
        """Wake it, now or at its next ``wait``."""
        self.woken = True
        self._end()

    def _end(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def end(self) -> None:
        """End its wait without a wake-up."""
        self._end()


class Waiters:
    """All watches of a node, by queue."""

    def __init__(self) -> None:
        self._by_queue: dict[QueueId, dict[Watch, None]] = {}
        self.on_delayed: Callable[[QueueId], None] = _nobody
        """Called when a delayed message was stored: its due time may be the next one."""
        self.draining = False
        self._gone: Recent[QueueId, bool] = Recent(lambda: False, size_max=GONE_KEPT_MAX)

    def watch(self, queue_id: QueueId, partitions: Iterable[int]) -> Watch:
        """Make a watch; it counts between ``__enter__`` and ``__exit__``."""
        return Watch(self, queue_id, frozenset(partitions))

    def add(self, watch: Watch) -> None:
        """Let it be woken."""
        watch.gone = self._gone.get(watch.queue_id, default=False)
        self._by_queue.setdefault(watch.queue_id, {})[watch] = None

    def remove(self, watch: Watch) -> None:
        """Forget it, and the queue with its last one."""
        watches = self._by_queue.get(watch.queue_id)
        if watches is not None:
            watches.pop(watch, None)
            if not watches:
                del self._by_queue[watch.queue_id]

    def partitions_of(self, queue_id: QueueId) -> set[int]:
        """Return the partitions of this queue that somebody watches."""
        return {partition for watch in self._by_queue.get(queue_id, ()) for partition in watch.partitions}

    def wake(self, queue_id: QueueId, partition: int) -> None:
        """Wake the watches of this partition."""
        for watch in self._by_queue.get(queue_id, ()):
            if partition in watch.partitions:
                watch.wake()

    def give_up(self, queue_id: QueueId) -> None:
        """End all waiting for a queue under an internal id that it has no more, now and from now on."""
        self._gone.put(queue_id, True)
        for watch in self._by_queue.get(queue_id, ()):
            watch.gone = True
            watch.end()

    def drain(self) -> None:
        """End all waiting, now and from now on."""
        self.draining = True
        for watches in self._by_queue.values():
            for watch in watches:
                watch.end()


def _nobody(_queue_id: QueueId) -> None:
    """Nobody looks after due times."""
