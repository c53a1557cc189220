"""Waking those who wait for what this node does not publish itself: delayed messages becoming due, other nodes' ones.

One task looks after all watched queues, the next one first; a queue that nobody watches is forgotten at its turn.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from common.identifiers import TICKS_PER_MS, TICKS_PER_SECOND, MessageId, QueueId, id_after, last_id_at, ticks_of
from common.limits import LATE_WINDOW_MS, RESCAN_MS, RESCANS_PER_S_MAX
from storage_node.log.listings import Listings
from storage_node.log.tools import Tools
from storage_node.log.waiters import Watch
from storage_node.store.errors import StoreError
from storage_node.store.interface import Lane, QueueRow

LOOK_BACK_TICKS: Final = (LATE_WINDOW_MS + RESCAN_MS) * TICKS_PER_MS
DUE_MARGIN_S: Final = 0.001


class _Watched:
    """One watched queue."""

    __slots__ = ("due", "next_look_s", "queue", "seen")

    def __init__(self, queue: QueueRow) -> None:
        self.queue = queue
        self.next_look_s = float("inf")
        self.due: dict[int, MessageId] = {}
        """Partition -> its next delayed message."""
        self.seen: dict[int, MessageId] = {}
        """Partition -> the newest message that was noticed."""


class Watches:
    """Makes watches, and wakes them."""

    def __init__(self, tools: Tools, listings: Listings) -> None:
        self._tools = tools
        self._listings = listings
        self._watched: dict[QueueId, _Watched] = {}
        self._heap: list[tuple[float, int, QueueId]] = []
        self._order = itertools.count()
        self._task: asyncio.Task[None] | None = None
        self._nudge: asyncio.Future[None] | None = None
        tools.waiters.on_delayed = self._on_delayed

    def watch(self, queue: QueueRow, partitions: Iterable[int]) -> Watch:
        """Return a watch; use it as a context, opened before the look that finds nothing."""
        watched = self._watched.get(queue.queue_id)
        if watched is None:
            watched = self._watched[queue.queue_id] = _Watched(queue)
        self._look_at(watched, self._tools.clock.monotonic_s())
        return self._tools.waiters.watch(queue.queue_id, partitions)

    async def close(self) -> None:
        """End the looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _on_delayed(self, queue_id: QueueId) -> None:
        watched = self._watched.get(queue_id)
        if watched is not None:
            self._look_at(watched, self._tools.clock.monotonic_s())

    def _look_at(self, watched: _Watched, at_s: float) -> None:
        """Look at this queue then, or earlier if that is planned already."""
        if at_s >= watched.next_look_s:
            return
        watched.next_look_s = at_s
        heapq.heappush(self._heap, (at_s, next(self._order), watched.queue.queue_id))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())
        elif self._nudge is not None and not self._nudge.done():
            self._nudge.set_result(None)

    async def _run(self) -> None:
        while self._heap:
            at_s, _, queue_id = self._heap[0]
            left_s = at_s - self._tools.clock.monotonic_s()
            if left_s > 0:
                await self._sleep(left_s)
                continue
            heapq.heappop(self._heap)
            watched = self._watched.get(queue_id)
            if watched is not None and watched.next_look_s == at_s:
                await self._turn(watched)

    async def _sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._nudge = loop.create_future()
        timer = loop.call_later(seconds, _end, self._nudge)
        try:
            await self._nudge
        finally:
            timer.cancel()
            self._nudge = None

    async def _turn(self, watched: _Watched) -> None:
        watched.next_look_s = float("inf")
        partitions = self._tools.waiters.partitions_of(watched.queue.queue_id)
        if not partitions:
            del self._watched[watched.queue.queue_id]
            return
        if self._tools.several_nodes:
            await self._give_up_if_gone(watched.queue)
        pauses_s = [self._rescan_s(len(partitions))]
        for partition in sorted(partitions):
            try:
                pauses_s.append(await self._look(watched, partition))
            except StoreError:
                pauses_s.append(RESCAN_MS / 1000)
        pause_s = min(pauses_s)
        if pause_s != float("inf"):
            self._look_at(watched, self._tools.clock.monotonic_s() + pause_s)

    async def _give_up_if_gone(self, queue: QueueRow) -> None:
        """End the waits for a queue that another node has deleted or emptied."""
        with suppress(StoreError):
            if not await self._tools.queues.stands(queue):
                self._tools.waiters.give_up(queue.queue_id)

    def _rescan_s(self, partitions: int) -> float:
        """Return the pause between looks for other nodes' messages: longer where very many wait."""
        if not self._tools.several_nodes:
            return float("inf")
        return max(RESCAN_MS / 1000, len(self._watched) * partitions / RESCANS_PER_S_MAX)

    async def _look(self, watched: _Watched, partition: int) -> float:
        """Look at one partition, wake if there is news, and return in how many seconds the next message is due."""
        now = self._tools.clock.now_ticks()
        due = watched.due.pop(partition, None)
        news = due is not None and ticks_of(due) <= now
        if self._tools.several_nodes:
            news = await self._is_newer(watched, partition, now) or news
        if news:
            self._tools.waiters.wake(watched.queue.queue_id, partition)
        next_due = await self._listings.next_due(watched.queue, partition)
        if next_due is None:
            return float("inf")
        watched.due[partition] = next_due
        return max((ticks_of(next_due) - self._tools.clock.now_ticks()) / TICKS_PER_SECOND, 0) + DUE_MARGIN_S

    async def _is_newer(self, watched: _Watched, partition: int, now: int) -> bool:
        seen = watched.seen.get(partition, last_id_at(now - LOOK_BACK_TICKS))
        newest = await self._listings.lane(
            watched.queue,
            partition,
            Lane.LIVE,
            low=id_after(seen),
            high=last_id_at(now),
            limit=1,
            descending=True,
            bodies=False,
            after=self._tools.buckets.moment(),
        )
        watched.seen[partition] = newest[0].message_id if newest else seen
        return bool(newest)


def _end(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
