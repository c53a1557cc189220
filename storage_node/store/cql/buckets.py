"""Buckets of a log: the index that readers follow, and the fence of each.

The index row outlives every message of its bucket.  How long that is, is known beforehand for a bucket of ordinary
messages; an append whose messages live longer, or that goes to a bucket older than its span (the first bucket of a
fenced log begins at 0), first writes another index row that ends later.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from common.clock import Clock
from common.identifiers import MessageId, QueueId
from storage_node.store.cql.session import CqlSession, Outcome, Row
from storage_node.store.cql.statements import LIFETIMES
from storage_node.store.cql.times import SLACK_TICKS, kept_until, surely_kept_until, ttl_until
from storage_node.store.errors import StoreFailedError
from storage_node.store.interface import BucketRow, Fence, LogAddress

PROLONGED: Final = (1 << 63) - 1
"""``announced`` of an index row that only keeps a bucket for longer: never the lowest while another one stands."""
KNOWN_MAX: Final = 10_000
"""Buckets whose end is remembered; forgetting one costs an index write."""

Place = tuple[bytes, int, int, int]


def place_of(log: LogAddress, bucket: int) -> Place:
    """Return the partition key of a bucket."""
    return log.queue_id, log.partition, int(log.lane), bucket


class Buckets:
    """The indexes and fences of all logs."""

    def __init__(self, session: CqlSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self._until: dict[Place, int] = {}
        self._about_to_read: dict[tuple[QueueId, int], asyncio.Task[list[Row]]] = {}

    # the index

    async def list_rows(self, log: LogAddress) -> list[BucketRow]:
        """Return the index, ascending."""
        announced: dict[int, int] = {}
        for lane, bucket, moment, until in await self._both_lanes(log.queue_id, log.partition):
            if lane == log.lane:
                announced.setdefault(bucket, moment)  # rows come by bucket, then by announcement
                self._remember(place_of(log, bucket), until)
        return [BucketRow(bucket, 0 if moment == PROLONGED else moment) for bucket, moment in announced.items()]

    async def _both_lanes(self, queue_id: QueueId, partition: int) -> list[Row]:
        """Return the index of both lanes; who asks before the read is sent shares it."""
        key = (queue_id, partition)
        reading = self._about_to_read.get(key)
        if reading is None:
            reading = self._about_to_read[key] = asyncio.create_task(self._read(*key))
        return await asyncio.shield(reading)

    async def _read(self, queue_id: QueueId, partition: int) -> list[Row]:
        del self._about_to_read[queue_id, partition]
        return await self._session.read("list_buckets", queue_id, partition)

    async def announce(self, log: LogAddress, bucket: int, *, announced_ticks: int, until: int) -> None:
        """Write an index row that stands until then."""
        place, now_ticks = place_of(log, bucket), self._clock.now_ticks()
        ttl_s = ttl_until(until, now_ticks)
        await self._session.write("announce_bucket", *place, announced_ticks, until, ttl_s)
        self._remember(place, until)

    async def prolong(self, log: LogAddress, bucket: int, *, needed_until: int) -> None:
        """Make sure that the bucket stays in the index until then; a write only where that is not known."""
        place = place_of(log, bucket)
        if needed_until <= max(self._until.get(place, 0), surely_kept_until(log.lifetime, bucket)):
            return
        until = max(kept_until(log.lifetime, bucket, self._clock.now_ticks()), needed_until + SLACK_TICKS)
        await self.announce(log, bucket, announced_ticks=PROLONGED, until=until)

    def _remember(self, place: Place, until: int) -> None:
        until = max(until, self._until.pop(place, 0))
        if len(self._until) >= KNOWN_MAX:
            del self._until[next(iter(self._until))]
        self._until[place] = until

    # the fence

    async def open(self, log: LogAddress, bucket: int, *, last: MessageId | None, now_ticks: int) -> None:
        """Put the bucket into the index, then make its fence if there is none: what can be appended to is listed.

        A bucket of a plain log (``last`` is ``None``) has no fence, and this is one plain write.
        """
        until = kept_until(log.lifetime, bucket, max(now_ticks, self._clock.now_ticks()))
        await self.announce(log, bucket, announced_ticks=now_ticks, until=until)
        if last is None:
            return
        await self._change("open_fence", log, ttl_until(until, self._clock.now_ticks()), last, *place_of(log, bucket))

    async def raise_last(self, log: LogAddress, bucket: int, *, last: MessageId) -> Fence | None:
        """Move ``last`` forward unless closed; return the fence afterwards, ``None`` if there is none."""
        outcome = await self._change(
            "advance_fence", log, self.fence_ttl_s(log, bucket), last, *place_of(log, bucket), last
        )
        return Fence(last, False, None) if outcome.applied else fence_of(outcome.rows[0])

    async def close(self, log: LogAddress, bucket: int, *, last: MessageId, next_bucket: int) -> Fence:
        """Close the bucket if ``last`` stands and it is open; return the fence afterwards."""
        ttl_s = self.fence_ttl_s(log, bucket)
        outcome = await self._change("close_fence", log, ttl_s, last, next_bucket, *place_of(log, bucket), last)
        fence = Fence(last, True, next_bucket) if outcome.applied else fence_of(outcome.rows[0])
        if fence is None:
            raise StoreFailedError("there is no such bucket")
        return fence

    async def read_fence(self, log: LogAddress, bucket: int) -> Fence | None:
        """Return the fence, any write of it that is under way being decided first."""
        rows = await self._session.read(f"read_fence_{LIFETIMES[log.lifetime]}", *place_of(log, bucket))
        return fence_of(dict(zip(("last", "closed", "next"), rows[0], strict=True))) if rows else None

    def fence_ttl_s(self, log: LogAddress, bucket: int) -> int:
        """Return the TTL of a fence that is written now: longer than a message of its table may live."""
        now_ticks = self._clock.now_ticks()
        return ttl_until(kept_until(log.lifetime, bucket, now_ticks), now_ticks)

    async def _change(self, name: str, log: LogAddress, *values: object) -> Outcome:
        return await self._session.compare_and_set(f"{name}_{LIFETIMES[log.lifetime]}", *values)


def fence_of(columns: dict[str, Any]) -> Fence | None:
    """Return the fence that a row of columns shows; ``None`` if there is none."""
    last = columns.get("last")
    return None if last is None else Fence(last, bool(columns.get("closed")), columns.get("next"))
