"""Walking a partition: its lanes merged, its buckets one after the other."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

from common.guarantees import Consistency, LogKind
from common.identifiers import HIGHEST, LOWEST, MessageId, last_id_at
from storage_node.log.bounds import Bounds, BoundsTaker, log_of
from storage_node.log.tools import Tools
from storage_node.log.values import Listed, Listing
from storage_node.log.writer import Writers
from storage_node.store.interface import Lane, LogAddress, QueueRow, StoredMessage

T = TypeVar("T")
LANES: Final = (Lane.LIVE, Lane.DELAYED)
COUNT_MAX: Final = 1 << 62
"""No bound: v1 counts all of a queue."""


class Listings:
    """Lists messages of one partition from the store."""

    def __init__(self, tools: Tools, writers: Writers, bounds: BoundsTaker) -> None:
        self._tools = tools
        self._writers = writers
        self._bounds = bounds

    async def walk(
        self,
        queue: QueueRow,
        partition: int,
        *,
        low_by_lane: Mapping[Lane, MessageId],
        limit: int,
        bodies: bool = True,
    ) -> Listing:
        """Walk up from ``low`` of each lane to what is complete, at most ``limit`` messages per lane."""
        bounds = await self._bounds.take(queue, partition)

        async def one(lane: Lane) -> list[StoredMessage]:
            return await self.lane(
                queue,
                partition,
                lane,
                low=low_by_lane[lane],
                high=bounds.high[lane],
                limit=limit,
                bodies=bodies,
                after=max(bounds.began, bounds.known),
            )

        founds = await self._each(one, list(low_by_lane))
        lanes = [
            [Listed(lane, message) for message in found] for lane, found in zip(low_by_lane, founds, strict=True)
        ]
        more = any(len(found) >= limit for found in founds)
        covered = {lane: _covered(found, limit) for lane, found in zip(low_by_lane, founds, strict=True)}
        sure = {lane: min(bounds.sure[lane], end) for lane, end in covered.items()}
        now_id = last_id_at(bounds.began_ticks)
        seen = {
            lane: end if bounds.high[lane] >= now_id else min(bounds.high[lane], end) for lane, end in covered.items()
        }
        return Listing(tuple(merge(lanes)), bounds.began_ticks, sure, seen, more)

    async def both(
        self,
        queue: QueueRow,
        partition: int,
        bounds: Bounds,
        *,
        low: MessageId,
        high: MessageId,
        limit: int,
        descending: bool,
    ) -> list[StoredMessage]:
        """Return up to ``limit`` messages of both lanes together, in the order of the walk."""

        async def one(lane: Lane) -> list[StoredMessage]:
            return await self.lane(
                queue,
                partition,
                lane,
                low=low,
                high=min(high, bounds.high[lane]),
                limit=limit,
                descending=descending,
                consistency=queue.consistency,
                after=bounds.known,
            )

        founds = await self._each(one, LANES)
        lanes = [
            [Listed(lane, message) for message in found] for lane, found in zip(LANES, founds, strict=True) if found
        ]
        return [listed.message for listed in merge(lanes, descending=descending)[:limit]]

    async def _each(self, one: Callable[[Lane], Awaitable[T]], lanes: Sequence[Lane]) -> list[T]:
        """Ask for lanes side by side where that is a way to go: their indexes come in one read then."""
        if len(lanes) > 1 and self._tools.buckets.cut:
            return await asyncio.gather(*[one(lane) for lane in lanes])
        return [await one(lane) for lane in lanes]

    async def lane(
        self,
        queue: QueueRow,
        partition: int,
        lane: Lane,
        *,
        low: MessageId,
        high: MessageId,
        limit: int,
        descending: bool = False,
        bodies: bool = True,
        consistency: Consistency = Consistency.STRONG,
        after: int,
    ) -> list[StoredMessage]:
        """Return up to ``limit`` messages of one lane; at most one read of the store per bucket it touches.

        ``after``: the index of a fenced log is one read after that moment; a plain log's may be D/2 old.
        """
        log = log_of(queue, partition, lane)
        if low > high or (lane is Lane.DELAYED and await self._is_undelayed(log)):
            return []
        found: list[StoredMessage] = []
        spans = await self._tools.buckets.spans(
            log,
            low=low,
            high=high,
            after=after if queue.log is LogKind.FENCED else None,
            descending=descending,
        )
        for span in spans:
            found += await self._tools.store.list_messages(
                log,
                span.bucket,
                low=span.low,
                high=span.high,
                limit=limit - len(found),
                descending=descending,
                now_ticks=self._tools.clock.now_ticks(),
                consistency=consistency,
                bodies=bodies,
            )
            if len(found) >= limit:
                break
        return found

    async def _is_undelayed(self, log: LogAddress) -> bool:
        """Is the delayed lane surely empty?  Learnt by one look, until something goes into it."""
        tools = self._tools
        if tools.several_nodes or log in tools.undelayed:
            return not tools.several_nodes
        changes = tools.undelayed.changes
        if self._writers.is_busy(log):
            return False
        found = await tools.store.list_messages(
            log, 0, low=LOWEST, high=HIGHEST, limit=1, now_ticks=tools.clock.now_ticks(), bodies=False
        )
        if not found and changes == tools.undelayed.changes:
            tools.undelayed.learn(log)
        return not found and changes == tools.undelayed.changes

    async def next_due(self, queue: QueueRow, partition: int) -> MessageId | None:
        """Return the first delayed message that is not due yet."""
        now = self._tools.clock.now_ticks()
        found = await self.lane(
            queue,
            partition,
            Lane.DELAYED,
            low=MessageId((now + 1).to_bytes(8, "big") + bytes(8)),
            high=HIGHEST,
            limit=1,
            bodies=False,
            after=self._tools.buckets.moment(),
        )
        return found[0].message_id if found else None

    async def count(
        self, queue: QueueRow, partition: int, *, low_by_lane: Mapping[Lane, MessageId], limit: int
    ) -> int:
        """Count messages with ``id >= low`` per lane, up to ``limit``."""
        after = self._tools.buckets.moment()

        async def one(lane: Lane) -> int:
            log, low = log_of(queue, partition, lane), low_by_lane[lane]
            total = 0
            for span in await self._tools.buckets.spans(log, low=low, high=HIGHEST, after=after):
                now = self._tools.clock.now_ticks()
                total += await self._tools.store.count_messages(
                    log, span.bucket, low=span.low, limit=limit - total, now_ticks=now
                )
                if total >= limit:
                    break
            return total

        return min(sum(await self._each(one, list(low_by_lane))), limit)

    async def count_all(self, queue: QueueRow) -> int:
        """Count all messages of a queue, those not yet due as well."""
        lows = dict.fromkeys(LANES, LOWEST)
        total = 0
        for partition in range(1, queue.partitions + 1):
            total += await self.count(queue, partition, low_by_lane=lows, limit=COUNT_MAX)
        return total


def _covered(found: Sequence[StoredMessage], limit: int) -> MessageId:
    """Return up to where a listing has come."""
    return found[-1].message_id if len(found) >= limit else HIGHEST


def merge(lanes: Sequence[Sequence[Listed]], *, descending: bool = False) -> list[Listed]:
    """Merge lanes that are each in the order of the walk."""
    if len(lanes) == 1:
        return list(lanes[0])
    return list(heapq.merge(*lanes, key=lambda listed: listed.message.message_id, reverse=descending))
