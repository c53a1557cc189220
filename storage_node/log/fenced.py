"""A round of a fenced log: one conditional append, repeated until it is certain."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from common.guarantees import Guarantee
from common.identifiers import LOWEST, MessageId, first_id_at, make_id, ticks_of
from common.limits import LATE_WINDOW_MS
from common.protocol.failures import Failure, FailureError
from storage_node.log.bounds import read_last
from storage_node.log.buckets import SPAN_TICKS
from storage_node.log.outcomes import EMPTIED, OUTCOME_UNKNOWN, STORE_UNAVAILABLE, failure_of
from storage_node.log.pending import Entry, latest_deadline_s
from storage_node.log.writer import Backoff, Writer
from storage_node.store.errors import StoreError, StoreUnknownError
from storage_node.store.interface import (
    GIVEN_UP,
    AppendAnswer,
    Applied,
    Behind,
    Closed,
    Fence,
    KeyPresent,
    Lane,
    LogKey,
    NoBucket,
)

_by_id: Final = attrgetter("message_id")
CLOCK_WAIT_S_MAX: Final = LATE_WINDOW_MS / 1000
"""How long a writer waits for its clock to come near the log's ``last``, before it gives up."""


class _FencedRound:
    """The state of one round: what is left of it, and what is known of its earlier attempts."""

    def __init__(self, writer: Writer, entries: list[Entry]) -> None:
        self.writer = writer
        self.tools = writer.tools
        self.entries = entries
        self.above = 0
        self.looked_before: int | None = None
        """The buckets before this one were asked for earlier attempts."""
        self.unknown = False
        """An earlier attempt may have been stored, or may still be."""
        self.backoff = Backoff(writer.tools.clock)
        self.delayed: Final = writer.log.lane is Lane.DELAYED

    async def run(self) -> None:
        while self._within_deadline():
            try:
                self._stamp()
                bucket = await self._bucket()
                if self._hand_back(bucket) and await self._look_back(bucket):
                    await self._judge(bucket, await self._append(bucket))
            except FailureError as error:
                if not await self._clock_catches_up(error.failure):
                    self._fail(OUTCOME_UNKNOWN if self.unknown else error.failure)
            except StoreError as error:
                await self._after(error)

    # before the append

    def _within_deadline(self) -> bool:
        """Give up what nobody waits for any more; is anything left?"""
        now_s = self.tools.clock.monotonic_s()
        for entry in self.entries:
            if entry.pending.deadline_s <= now_s:
                entry.fail(OUTCOME_UNKNOWN if self.unknown else STORE_UNAVAILABLE)
        self.entries = [entry for entry in self.entries if entry.pending.deadline_s > now_s]
        return bool(self.entries)

    def _stamp(self) -> None:
        stamper = self.tools.stamper
        entries = self.entries
        if self.delayed:
            ticks = stamper.stamp(len(entries))
            for number, entry in enumerate(entries, ticks):
                due = max(number + entry.delay_ticks, self.above + 1)
                entry.message_id = make_id(due, stamper.delayed_low())
            entries.sort(key=_by_id)
        else:
            ticks = stamper.stamp(len(entries), above=self.above)
            low = stamper.live_low
            for number, entry in enumerate(entries, ticks):
                entry.message_id = make_id(number, low)
        self.writer.note_attempt(entries[0].message_id, keep=self.unknown)

    async def _bucket(self) -> int:
        buckets = self.tools.buckets
        if not buckets.cut:
            return 0
        if not self.delayed:
            return await buckets.current(self.writer.log)
        bucket = await buckets.for_append(self.writer.log, ticks_of(self.entries[0].message_id), last=LOWEST)
        await self._fence_delayed(bucket)
        self._leave_for_later(bucket)
        return bucket

    async def _fence_delayed(self, bucket: int) -> None:
        """Before a first append here: nothing may appear below what readers of the live lane were promised."""
        warm = self.tools.warm.of(self.writer.log)
        if bucket in warm.opened:
            return
        if await self._raise_to_live(bucket) is None:
            await self.tools.buckets.open(self.writer.log, bucket, last=LOWEST)
            await self._raise_to_live(bucket)
        warm.opened.add(bucket)

    async def _raise_to_live(self, bucket: int) -> Fence | None:
        last = await read_last(self.tools, self.writer.log._replace(lane=Lane.LIVE))
        return await self.tools.store.raise_last(self.writer.log, bucket, last=last)

    def _leave_for_later(self, bucket: int) -> None:
        """Keep what belongs to this bucket of the grid; the rest goes back to the writer's queue."""
        end = first_id_at(bucket - bucket % SPAN_TICKS + SPAN_TICKS)
        later = [entry for entry in self.entries if entry.message_id >= end]
        if later:
            self.entries = [entry for entry in self.entries if entry.message_id < end]
            self.writer.submit(later)

    def _hand_back(self, bucket: int) -> bool:
        """Hand back entries whose key's row points to another bucket than this; is anything left?"""
        if not self.tools.buckets.cut:
            return True
        for entry in self.entries:
            if entry.bucket not in (None, bucket):
                entry.move(bucket)
        self.entries = [entry for entry in self.entries if entry.bucket in (None, bucket)]
        return bool(self.entries)

    async def _look_back(self, bucket: int) -> bool:
        """Ask the buckets closed lately for earlier attempts of the same publish; is anything left?"""
        if not self.tools.buckets.cut or self.looked_before == bucket:
            return True
        entries = [entry for entry in self.entries if entry.key is not None and entry.bucket is None]
        ticks = ticks_of(self.entries[0].message_id) if self.delayed else self._now()
        for earlier in await self.tools.buckets.before(self.writer.log, bucket, ticks=ticks) if entries else ():
            await self._ask(earlier, entries)
            if not self.entries:
                break
        self.looked_before = bucket
        return bool(self.entries)

    async def _ask(self, earlier: int, entries: Sequence[Entry]) -> None:
        """Ask one bucket for keys.  The delayed lane's are never closed: what is not there is given up there."""
        store, log = self.tools.store, self.writer.log
        keys = [entry.key for entry in entries if entry.key is not None]
        found = await store.read_keys(log, earlier, keys)
        stored = {key: state.message_id for key, state in found.items() if state.message_id != GIVEN_UP}
        if stored:
            await self._present(stored)
        for entry in entries if self.delayed else ():
            if entry.key is None or entry.key in found:
                continue
            expires_ticks = entry.message().expires_ticks
            if not await store.give_up_key(log, earlier, LogKey(entry.key, GIVEN_UP), expires_ticks=expires_ticks):
                await self._ask(earlier, [entry])

    def _now(self) -> int:
        return self.tools.clock.now_ticks()

    async def _append(self, bucket: int) -> AppendAnswer:
        entries = self.entries
        return await self.tools.store.append_fenced(
            self.writer.log,
            bucket,
            [entry.message() for entry in entries],
            keys=[LogKey(entry.key, entry.message_id) for entry in entries if entry.key is not None],
            fenced=self.tools.several_nodes or not self.delayed,
            advance=not self.delayed,
            consistency=entries[0].pending.row.consistency,
        )

    # after it

    async def _judge(self, bucket: int, answer: AppendAnswer) -> None:
        match answer:
            case Applied():
                await self._applied(bucket)
            case Behind(last):
                self.above = ticks_of(last)
            case KeyPresent(keys):
                await self._present(keys)
                if GIVEN_UP in keys.values() and self.entries:
                    await self.backoff.pause(latest_deadline_s(self.entries))
            case Closed(next_bucket):
                self.tools.buckets.follow(self.writer.log, next_bucket)
            case NoBucket():
                await self._make_bucket(bucket)

    async def _applied(self, bucket: int) -> None:
        entries, self.entries = self.entries, []
        partition = self.writer.log.partition
        stands = await self._stands(entries)
        for entry in entries:
            if stands:
                entry.store(partition, entry.message_id)
            else:
                entry.fail(EMPTIED)
        self.writer.wake()
        if self.tools.buckets.cut and not self.delayed:
            await self._count(bucket, entries)

    async def _count(self, bucket: int, entries: Sequence[Entry]) -> None:
        log, last = self.writer.log, entries[-1].message_id
        warm = self.tools.warm.of(log)
        warm.learn_last(last, moment=self.tools.buckets.moment())
        warm.fence_read_s = self.tools.clock.monotonic_s()
        size_bytes = sum([entry.size_bytes for entry in entries])
        try:
            await self.tools.buckets.written_fenced(
                log, bucket, last=last, messages=len(entries), size_bytes=size_bytes
            )
        except StoreError:
            return  # the next append tries again, or finds it closed

    async def _stands(self, entries: Sequence[Entry]) -> bool:
        """Does the queue still have this internal id?  Otherwise nobody will ever see what was stored."""
        row = entries[0].pending.row
        queues = self.tools.queues
        if queues.is_fresh(row):
            return True
        try:
            return await queues.stands(row)
        except StoreError:
            return False

    async def _present(self, keys: dict[bytes, MessageId]) -> None:
        """Answer those that are stored already with the ids they have."""
        entries, self.entries = self.entries, []
        stands = await self._stands(entries)
        for entry in entries:
            stored = keys.get(entry.key) if entry.key is not None else None
            if stored is None:
                self.entries.append(entry)
            elif stored == GIVEN_UP:
                self._given_up(entry)
            elif stands:
                entry.store(self.writer.log.partition, stored)
            else:
                entry.fail(EMPTIED)

    def _given_up(self, entry: Entry) -> None:
        """A later attempt has left this bucket: stamped again, this one comes to the next, or is there already."""
        if entry.bucket is not None:
            entry.move(entry.bucket)
        else:
            self.entries.append(entry)

    async def _make_bucket(self, bucket: int) -> None:
        if self.delayed:
            self.tools.warm.of(self.writer.log).opened.discard(bucket)
            await self.tools.buckets.open(self.writer.log, bucket, last=LOWEST)
        else:
            await self.tools.buckets.make_current(self.writer.log, bucket)

    # when it fails

    async def _after(self, error: StoreError) -> None:
        """Unknown: again with the same keys.  Certainly not done: say so, unless an earlier attempt may count."""
        failure = failure_of(error)
        if isinstance(error, StoreUnknownError):
            self.unknown = True
        if not self.unknown:
            self._fail(failure)
        elif self._guarantee() is Guarantee.AT_MOST_ONCE or not await self.backoff.pause(
            latest_deadline_s(self.entries)
        ):
            self._fail(OUTCOME_UNKNOWN)

    async def _clock_catches_up(self, failure: Failure) -> bool:
        """Wait for the clock where another node's ids are only a little ahead of it."""
        wait_s = failure.retry_after_ms / 1000
        latest_s = latest_deadline_s(self.entries)
        if wait_s > CLOCK_WAIT_S_MAX or self.tools.clock.monotonic_s() + wait_s >= latest_s or not self.above:
            return False
        await asyncio.sleep(wait_s)
        return True

    def _guarantee(self) -> Guarantee:
        return self.entries[0].pending.row.guarantee

    def _fail(self, failure: Failure) -> None:
        entries, self.entries = self.entries, []
        for entry in entries:
            entry.fail(failure)


async def write_fenced(writer: Writer, entries: list[Entry]) -> None:
    """Append these entries; every one of them is settled when this returns or raises."""
    state = _FencedRound(writer, entries)
    try:
        await state.run()
    finally:
        for entry in state.entries:
            entry.fail(OUTCOME_UNKNOWN)
