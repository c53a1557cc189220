"""Where in a log a message is, or goes.

*Plain* logs and every delayed lane lie on a fixed grid of time that all nodes compute from the id; a live lane that
outgrows its bucket announces a further one, to begin so much later that no node can still miss it.  *Fenced* live
lanes are written in one bucket until it is closed by the same condition that guards the appends; the first is 0.
A store without buckets has bucket 0 and none of this.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from typing import Final, NamedTuple

from common.clock import Clock
from common.guarantees import LogKind
from common.identifiers import TICKS_PER_MS, MessageId, first_id_at, id_before, last_id_at, ticks_of
from common.limits import BUCKET_BYTES_MAX, BUCKET_MESSAGES_MAX, BUCKET_SPAN_MS, LATE_WINDOW_MS, PUBLISH_DEADLINE_MS
from storage_node.log.warm import Reading, Recent, WarmLog
from storage_node.store.interface import Fence, Lane, LogAddress, Store

SPAN_TICKS: Final = BUCKET_SPAN_MS * TICKS_PER_MS
INDEX_AGE_S_MAX: Final = LATE_WINDOW_MS / 2 / 1000
APPEND_S: Final = 1.0
"""Seconds that an append may take and still rest on what was known when it began: it must not grow old under way."""
ANNOUNCED_AHEAD_TICKS: Final = 2 * LATE_WINDOW_MS * TICKS_PER_MS
ATTEMPTS_TICKS_MAX: Final = (2 * PUBLISH_DEADLINE_MS + LATE_WINDOW_MS) * TICKS_PER_MS
"""How long the attempts of one publish may be apart."""
TO_COME_S_MAX: Final = 600.0
"""How long a bucket that was not there is taken for one to come, and one that was written for one that still knows
whether it is closed: much less than the fence of any bucket lives."""
ONLY: Final = (0,)


class Span(NamedTuple):
    """The part of one bucket that a range of ids touches; rows outside are not its own."""

    bucket: int
    low: MessageId
    high: MessageId


class Buckets:
    """The buckets of all logs, with what is remembered of them."""

    def __init__(self, store: Store, *, clock: Clock, warm: Recent[LogAddress, WarmLog]) -> None:
        self._store = store
        self._clock = clock
        self._warm = warm
        self._moments = 0
        self.cut: Final = store.capabilities.buckets

    def moment(self) -> int:
        """Return the present moment, a number of its own: what begins later is later, however coarse the clock."""
        self._moments += 1
        return self._moments

    # reading

    async def index(
        self, log: LogAddress, *, after: int | None = None, age_s_max: float = INDEX_AGE_S_MAX
    ) -> tuple[int, ...]:
        """Return the beginnings of the log's buckets, ascending, by a read that began after a moment, or lately."""
        if not self.cut:
            return ONLY
        warm = self._warm.of(log)
        began_s = self._clock.monotonic_s()

        def serves(read_s: float, moment: int) -> bool:
            return moment > after if after is not None else began_s - read_s < age_s_max

        if serves(warm.index_read_s, warm.index_moment):
            return warm.index
        reading = warm.reading
        if reading is not None and serves(reading.began_s, reading.moment):
            return await asyncio.shield(reading.task)
        return await self._read_index(log, warm, began_s)

    def begin_index(self, log: LogAddress) -> None:
        """Read the index if it is not known; who asks for it meanwhile waits for this read."""
        warm, began_s = self._warm.of(log), self._clock.monotonic_s()
        if not self.cut or warm.reading is not None or began_s - warm.index_read_s < INDEX_AGE_S_MAX:
            return

        def done(task: asyncio.Task[tuple[int, ...]]) -> None:
            warm.reading = None
            if not task.cancelled():
                task.exception()  # whoever waited has it; the others ask for themselves

        moment = self.moment()
        task = asyncio.get_running_loop().create_task(self._read_index(log, warm, began_s))
        warm.reading = Reading(began_s, moment, task)
        task.add_done_callback(done)

    async def _read_index(self, log: LogAddress, warm: WarmLog, began_s: float) -> tuple[int, ...]:
        moment = self.moment()
        rows = await self._store.list_buckets(log)
        index = tuple([row.bucket for row in rows])
        if moment > warm.index_moment:
            warm.index, warm.index_read_s, warm.index_moment = index, began_s, moment
            warm.announced = rows[-1].announced_ticks if rows else 0
        return index

    async def fresh_index(self, log: LogAddress) -> tuple[int, ...]:
        """Return the index as read from now on."""
        return await self.index(log, after=self.moment())

    async def spans(
        self, log: LogAddress, *, low: MessageId, high: MessageId, after: int | None, descending: bool = False
    ) -> list[Span]:
        """Return the buckets that the range touches, in the order of the walk, by an index as ``index`` gives it."""
        if not self.cut:
            return [Span(0, low, high)] if low <= high else []
        found = spans_of(await self.index(log, after=after), low, high)
        return found[::-1] if descending else found

    async def of_id(self, log: LogAddress, message_id: MessageId) -> int | None:
        """Return the bucket that this id belongs to, ``None`` where the log has none that early."""
        return bucket_of(await self.fresh_index(log), message_id)

    # writing on the grid

    async def for_append(self, log: LogAddress, ticks: int, *, last: MessageId | None = None) -> int:
        """Return the bucket of a plain or delayed append, in the index; it rests on an index less than D/2 old.

        ``last``: make a new bucket's fence with it, where there is one.
        """
        if not self.cut:
            return 0
        index = await self.index(log, age_s_max=INDEX_AGE_S_MAX - APPEND_S)
        place = bisect_right(index, ticks)
        bucket = max(grid_bucket(ticks), index[place - 1] if place else 0)
        if bucket not in index:
            await self.open(log, bucket, last=last)
        return bucket

    async def open(self, log: LogAddress, bucket: int, *, last: MessageId | None) -> None:
        """Put a bucket into the index, before its first append; a plain log's needs no fence."""
        now = self._clock.now_ticks()
        await self._store.open_bucket(log, bucket, last=last, now_ticks=now)
        warm = self._warm.of(log)
        if not warm.index:
            warm.announced = now
        if bucket not in warm.index:
            warm.index = tuple(sorted({*warm.index, bucket}))

    def index_is_fresh(self, log: LogAddress) -> bool:
        """Is the index that the last append rested on still less than D/2 old?"""
        return not self.cut or self._clock.monotonic_s() - self._warm.of(log).index_read_s < INDEX_AGE_S_MAX

    async def written_plain(self, log: LogAddress, bucket: int, *, messages: int, size_bytes: int) -> None:
        """Count what went into a bucket; announce the next one when it is full."""
        if log.lane is Lane.LIVE and self._is_full(log, bucket, messages, size_bytes):
            await self.open(log, self._clock.now_ticks() + ANNOUNCED_AHEAD_TICKS, last=None)
            self._start(log, None)

    async def before(self, log: LogAddress, bucket: int, *, ticks: int) -> list[int]:
        """Return the buckets that were written in the last moments before this one, the nearest first."""
        if not self.cut or ticks - bucket >= ATTEMPTS_TICKS_MAX:
            return []
        index = await self.fresh_index(log)
        earlier = [number for number in index if number < bucket]
        return [
            number
            for number, end in zip(earlier, [*earlier[1:], bucket], strict=False)
            if end > ticks - ATTEMPTS_TICKS_MAX
        ][::-1]

    # writing behind a fence

    async def current(self, log: LogAddress) -> int:
        """Return the bucket that a fenced live lane is written in, as far as this node knows.

        One that this node has not met for long is looked for anew: it may be closed, and have expired since.
        """
        if not self.cut:
            return 0
        warm = self._warm.of(log)
        if warm.bucket is None or self._clock.monotonic_s() - warm.bucket_s > TO_COME_S_MAX:
            index = await self.index(log)
            self._meet(log, index[-1] if index else 0)
        return warm.bucket or 0

    def known(self, log: LogAddress) -> int | None:
        """Return the last bucket of a fenced live lane that this node has heard of, however long ago."""
        if not self.cut:
            return 0
        warm = self._warm.of(log)
        return max(warm.index[-1], warm.successor) if warm.index else None

    def end(self, log: LogAddress, fence: Fence) -> None:
        """Remember of a closed bucket which one follows: until that is made, the log ends here."""
        if fence.closed and fence.next is not None:
            warm = self._warm.of(log)
            warm.learn_last(fence.last, moment=self.moment())
            warm.successor, warm.ended_s = max(warm.successor, fence.next), self._clock.monotonic_s()

    def is_to_come(self, log: LogAddress, bucket: int) -> bool:
        """Is a bucket without a fence one that was never made?  Not for long: what was made meanwhile expires."""
        warm = self._warm.of(log)
        if bucket != warm.successor or self._clock.monotonic_s() - warm.ended_s > TO_COME_S_MAX:
            return False
        warm.ended_s = self._clock.monotonic_s()
        return True

    async def make_current(self, log: LogAddress, bucket: int) -> None:
        """Make the bucket that an append found missing, empty, beginning at its own name."""
        await self.open(log, bucket, last=id_before(first_id_at(bucket)))

    def follow(self, log: LogAddress, bucket: int) -> None:
        """Go on in the successor that a closed bucket names."""
        self._start(log, bucket)

    async def written_fenced(
        self, log: LogAddress, bucket: int, *, last: MessageId, messages: int, size_bytes: int
    ) -> None:
        """Count what went into a bucket; close it when it is full or old."""
        if not self.cut:
            return
        begin = bucket or self._warm.of(log).announced
        old = bool(begin) and ticks_of(last) - begin >= SPAN_TICKS
        if self._is_full(log, bucket, messages, size_bytes) or old:
            fence = await self._store.close_bucket(log, bucket, last=last, next_bucket=ticks_of(last) + 1)
            self._follow_fence(log, fence)

    def _follow_fence(self, log: LogAddress, fence: Fence) -> None:
        self.end(log, fence)
        if fence.closed and fence.next is not None:
            self._start(log, fence.next)

    def _start(self, log: LogAddress, bucket: int | None) -> None:
        warm = self._warm.of(log)
        warm.bucket, warm.bucket_s = bucket, self._clock.monotonic_s()
        warm.messages = warm.bytes = 0

    def _meet(self, log: LogAddress, bucket: int) -> WarmLog:
        """Remember that the log is written in this bucket now."""
        warm = self._warm.of(log)
        if warm.bucket != bucket:
            self._start(log, bucket)
        warm.bucket_s = self._clock.monotonic_s()
        return warm

    def _is_full(self, log: LogAddress, bucket: int, messages: int, size_bytes: int) -> bool:
        if not self.cut:
            return False
        warm = self._meet(log, bucket)
        warm.messages += messages
        warm.bytes += size_bytes
        return warm.messages >= BUCKET_MESSAGES_MAX or warm.bytes >= BUCKET_BYTES_MAX


def grid_bucket(ticks: int) -> int:
    """Return the beginning of the grid's bucket that holds this time."""
    return ticks - ticks % SPAN_TICKS


def bucket_of(index: tuple[int, ...], message_id: MessageId) -> int | None:
    """Return the bucket that an id belongs to, ``None`` where there is none that early."""
    place = bisect_right(index, ticks_of(message_id))
    return index[place - 1] if place else None


def spans_of(index: tuple[int, ...], low: MessageId, high: MessageId) -> list[Span]:
    """Cut a range of ids at the beginnings of buckets; ids before the first bucket are in none."""
    spans: list[Span] = []
    for place, bucket in enumerate(index):
        begin = max(low, first_id_at(bucket))
        end = high if place + 1 == len(index) else min(high, last_id_at(index[place + 1] - 1))
        if begin <= end:
            spans.append(Span(bucket, begin, end))
    return spans


def is_on_grid(kind: LogKind, lane: Lane) -> bool:
    """Do all nodes compute this lane's buckets from the id alone?"""
    return kind is LogKind.PLAIN or lane is Lane.DELAYED
