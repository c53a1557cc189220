"""Walking a partition: its lanes merged, its buckets one after the other."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import Final

from common.guarantees import Consistency, LogKind
from common.identifiers import HIGHEST, LOWEST, MessageId
from storage_node.log.bounds import Bounds, BoundsTaker, log_of
from storage_node.log.tools import Tools
from storage_node.log.values import Listed, Listing
from storage_node.log.writer import Writers
from storage_node.store.interface import Lane, LogAddress, QueueRow, StoredMessage

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
        lanes: list[list[Listed]] = []
        sure = {}
        for lane, low in low_by_lane.items():
            found = await self.lane(
                queue, partition, lane, low=low, high=bounds.high[lane], limit=limit, bodies=bodies
            )
            lanes.append([Listed(lane, message) for message in found])
            covered = found[-1].message_id if len(found) >= limit else HIGHEST
            sure[lane] = min(bounds.sure[lane], covered)
        more = any(len(found) >= limit for found in lanes)
        return Listing(tuple(merge(lanes)), bounds.began_ticks, sure, more)

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
        lanes = []
        for lane in LANES:
            found = await self.lane(
                queue,
                partition,
                lane,
                low=low,
                high=min(high, bounds.high[lane]),
                limit=limit,
                descending=descending,
                consistency=queue.consistency,
            )
            if found:
                lanes.append([Listed(lane, message) for message in found])
        return [listed.message for listed in merge(lanes, descending=descending)[:limit]]

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
    ) -> list[StoredMessage]:
        """Return up to ``limit`` messages of one lane; at most one read of the store per bucket it touches."""
        log = log_of(queue, partition, lane)
        if low > high or (lane is Lane.DELAYED and await self._is_undelayed(log)):
            return []
        found: list[StoredMessage] = []
        spans = await self._tools.buckets.spans(
            log, low=low, high=high, fresh=queue.log is LogKind.FENCED, descending=descending
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
        )
        return found[0].message_id if found else None

    async def count(
        self, queue: QueueRow, partition: int, *, low_by_lane: Mapping[Lane, MessageId], limit: int
    ) -> int:
        """Count messages with ``id >= low`` per lane, up to ``limit``."""
        total = 0
        for lane, low in low_by_lane.items():
            log = log_of(queue, partition, lane)
            for span in await self._tools.buckets.spans(log, low=low, high=HIGHEST, fresh=True):
                if total >= limit:
                    return limit
                now = self._tools.clock.now_ticks()
                total += await self._tools.store.count_messages(
                    log, span.bucket, low=span.low, limit=limit - total, now_ticks=now
                )
        return min(total, limit)

    async def count_all(self, queue: QueueRow) -> int:
        """Count all messages of a queue, those not yet due as well."""
        lows = dict.fromkeys(LANES, LOWEST)
        total = 0
        for partition in range(1, queue.partitions + 1):
            total += await self.count(queue, partition, low_by_lane=lows, limit=COUNT_MAX)
        return total


def merge(lanes: Sequence[Sequence[Listed]], *, descending: bool = False) -> list[Listed]:
    """Merge lanes that are each in the order of the walk."""
    if len(lanes) == 1:
        return list(lanes[0])
    return list(heapq.merge(*lanes, key=lambda listed: listed.message.message_id, reverse=descending))
