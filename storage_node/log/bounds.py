"""Up to where a log is complete: taken before the read that it speaks of."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from common.guarantees import LogKind
from common.identifiers import LOWEST, TICKS_PER_MS, MessageId, first_id_at, id_before, last_id_at, ticks_of
from common.limits import LATE_WINDOW_MS
from storage_node.log.buckets import ATTEMPTS_TICKS_MAX, grid_bucket
from storage_node.log.tools import Tools
from storage_node.log.warm import WarmLog
from storage_node.log.writer import Writers
from storage_node.store.interface import Lane, LogAddress, QueueRow

WINDOW_TICKS: Final = LATE_WINDOW_MS * TICKS_PER_MS
FENCE_AGE_S_MAX: Final = 1.0
"""Seconds for which a fence is not read again: ``complete_until`` may lag by it, it never leads."""


class Bounds(NamedTuple):
    """What holds for one partition when a listing begins."""

    began_ticks: int
    began: int
    """The moment (``Buckets.moment``) at which this began: an index read after it shows what was there before."""
    known: int
    """The moment at which all that is promised here was known: an index read after it shows all of that."""
    high: dict[Lane, MessageId]
    """Per lane: nothing above is listed; below it none of this node's own appends is undecided."""
    sure: dict[Lane, MessageId]
    """Per lane: nothing can come to be acknowledged at or below it that is not there now.  Never above ``high``."""

    @property
    def complete(self) -> MessageId:
        """Return the bound of both lanes together."""
        return min(self.sure.values())


def log_of(queue: QueueRow, partition: int, lane: Lane) -> LogAddress:
    """Return the address of one lane of one partition."""
    return LogAddress(queue.queue_id, partition, lane, queue.lifetime)


class BoundsTaker:
    """Takes the bounds by the rule of the log and the store."""

    def __init__(self, tools: Tools, writers: Writers) -> None:
        self._tools = tools
        self._writers = writers

    async def take(self, queue: QueueRow, partition: int) -> Bounds:
        """Take the bounds of one partition.  Asks the store only for a fence that is shared with other nodes."""
        live = log_of(queue, partition, Lane.LIVE)
        delayed = live._replace(lane=Lane.DELAYED)
        stamper = self._tools.stamper
        now = self._tools.clock.now_ticks()
        began = known = self._tools.buckets.moment()
        mark = stamper.mark()
        promised = mark if self._tools.several_nodes else await self._tools.floor.bound(mark)
        high = {
            Lane.LIVE: self._below_undecided(live, last_id_at(max(stamper.highest, now))),
            Lane.DELAYED: self._below_undecided(delayed, last_id_at(now if self._tools.several_nodes else mark)),
        }
        if not self._tools.several_nodes:
            sure = dict.fromkeys(high, last_id_at(promised))
        elif queue.log is LogKind.PLAIN:
            sure = dict.fromkeys(high, self._window(now))
        else:
            remembered = self._remembered(live, delayed)
            sure = await self._fences(live, delayed, high)
            known = self._known(remembered, self._remembered(live, delayed))
        sure = {lane: min(sure[lane], high[lane]) for lane in high}
        return Bounds(now, began, known, high, sure)

    def _remembered(self, live: LogAddress, delayed: LogAddress) -> list[WarmLog]:
        return [self._tools.warm.of(live), self._tools.warm.of(delayed)]

    def _known(self, before: list[WarmLog], after: list[WarmLog]) -> int:
        """Return the moment that belongs to what the fences said: now, if the logs were forgotten meanwhile."""
        if before != after:
            return self._tools.buckets.moment()
        return max([warm.last_moment for warm in after])

    def _below_undecided(self, log: LogAddress, high: MessageId) -> MessageId:
        undecided = self._writers.undecided(log)
        return high if undecided is None else min(high, id_before(undecided))

    def _window(self, now: int) -> MessageId:
        """Plain: what is older than D is decided, as long as this node's clock is known to be good."""
        return last_id_at(now - WINDOW_TICKS) if self._tools.clock_check.sure() else LOWEST

    async def _fences(
        self, live: LogAddress, delayed: LogAddress, high: dict[Lane, MessageId]
    ) -> dict[Lane, MessageId]:
        """Fenced: ``last`` of the live lane, known before; of the delayed lane, where it has buckets, the horizon."""
        last = await self.last(live)
        if self._writers.undecided(live) is None:
            high[Lane.LIVE] = max(high[Lane.LIVE], last)
        horizon = await self._horizon(delayed, high[Lane.DELAYED], last)
        if self._tools.warm.of(delayed).index:
            last = await self._lead(live, last)
        return {Lane.LIVE: last, Lane.DELAYED: horizon}

    async def last(self, live: LogAddress) -> MessageId:
        """Return ``last`` of a fenced live lane as this node knows it, at most a second late."""
        tools = self._tools
        warm = tools.warm.of(live)
        began_s = tools.clock.monotonic_s()
        if began_s - warm.fence_read_s >= FENCE_AGE_S_MAX:
            warm.learn_last(await read_last(tools, live), moment=tools.buckets.moment())
            warm.fence_read_s = began_s
        return warm.last

    async def _lead(self, live: LogAddress, last: MessageId) -> MessageId:
        """Let an idle live lane follow the clock, so that ``complete_until`` passes what the delayed lane brings."""
        tools = self._tools
        behind = last_id_at(tools.clock.now_ticks() - WINDOW_TICKS // 2)
        warm = tools.warm.of(live)
        if last >= behind or tools.clock.monotonic_s() - warm.led_s < FENCE_AGE_S_MAX:
            return last
        warm.led_s = tools.clock.monotonic_s()
        bucket = await tools.buckets.current(live)
        fence = await tools.store.raise_last(live, bucket, last=behind)
        if fence is None:
            await tools.buckets.make_current(live, bucket)
        elif fence.closed and fence.next is not None:
            tools.buckets.follow(live, fence.next)
        else:
            warm.learn_last(fence.last, moment=tools.buckets.moment())
        return warm.last

    async def _horizon(self, delayed: LogAddress, now_id: MessageId, last: MessageId) -> MessageId:
        """Move the horizon of the delayed lane up to now, at most once a second; return where it is.

        Where the bucket of now does not exist, or has no fence, who makes it looks at the live lane's ``last``
        after that, and appends nothing below: so what was ``last`` before this looked is a bound as well, and the
        index by which it looked shows all that it promises.  So it is, for a while, with the bucket before.
        """
        tools = self._tools
        warm = tools.warm.of(delayed)
        began_s = tools.clock.monotonic_s()
        if began_s - warm.fence_read_s < FENCE_AGE_S_MAX:
            return warm.last
        live = delayed._replace(lane=Lane.LIVE)
        warm_live, moment = tools.warm.of(live), tools.buckets.moment()
        index, _ = await asyncio.gather(tools.buckets.fresh_index(delayed), tools.buckets.fresh_index(live))
        due = [bucket for bucket in index if first_id_at(bucket) <= now_id]
        lasts = [await tools.store.raise_last(delayed, bucket, last=now_id) for bucket in due[-2:]]
        horizon = min((fence.last for fence in lasts if fence is not None), default=last)
        if None in lasts or not _written_now(ticks_of(now_id)).issubset(index):
            horizon = min(horizon, last)
        warm.last = horizon
        warm.last_moment = max(warm.last_moment, tools.buckets.moment() if due else moment)
        warm.fence_read_s = min(began_s, warm_live.fence_read_s)
        return warm.last


def _written_now(ticks: int) -> set[int]:
    """Return the buckets of a delayed lane that what is due by now may still be on its way to."""
    return {grid_bucket(ticks), grid_bucket(ticks - ATTEMPTS_TICKS_MAX)}


async def read_last(tools: Tools, live: LogAddress) -> MessageId:
    """Read ``last`` of a fenced live lane from the store, wherever it is written now.

    One read where this node knows the bucket; otherwise the index leads there.  What was ``last`` when this began
    is never above what it returns.
    """
    buckets, warm = tools.buckets, tools.warm.of(live)
    known = buckets.known(live)
    if known is not None:
        fence = await tools.store.read_fence(live, known)
        if fence is None and (not buckets.cut or buckets.is_to_come(live, known)):
            return warm.last
        if fence is not None and fence.closed and fence.next is not None:
            buckets.end(live, fence)
            fence = await tools.store.read_fence(live, fence.next)
            if fence is None:
                return warm.last
        if fence is not None and not fence.closed:
            return fence.last
    for bucket in reversed(await buckets.fresh_index(live)):
        fence = await tools.store.read_fence(live, bucket)
        if fence is not None:
            buckets.end(live, fence)
            return fence.last
    return LOWEST
