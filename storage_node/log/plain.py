"""A round of a plain log: it counts only if it was seen complete in time.

What has no key is appended unconditionally; what has one goes through ``plain_keys``.
"""

from __future__ import annotations

from collections import defaultdict

from common.guarantees import Guarantee
from common.identifiers import make_id, ticks_of
from common.protocol.failures import Failure, FailureError
from storage_node.log.buckets import APPEND_S
from storage_node.log.outcomes import CLOCK_UNSURE, OUTCOME_UNKNOWN, STORE_UNAVAILABLE, failure_of
from storage_node.log.pending import Entry, latest_deadline_s
from storage_node.log.plain_keys import KeyedPart, is_in_time
from storage_node.log.writer import Backoff, Writer
from storage_node.store.errors import StoreError, StoreUnknownError
from storage_node.store.interface import Lane, QueueRow


class _PlainRound:
    """The state of one round; an attempt that is late or unknown is made again under new ids, if it may be."""

    def __init__(self, writer: Writer, entries: list[Entry]) -> None:
        self.writer = writer
        self.tools = writer.tools
        self.entries = entries
        self.attempted = False
        self.harmless: set[Entry] = set()
        """What another attempt can't store twice, under whatever guarantee."""
        self.backoff = Backoff(writer.tools.clock)

    async def run(self) -> None:
        while self._within_deadline():
            try:
                if not self.tools.clock_check.sure():
                    raise FailureError(CLOCK_UNSURE)
                await self._attempt()
            except FailureError as error:
                self._fail(OUTCOME_UNKNOWN if self.attempted else error.failure)
            except StoreUnknownError:
                await self._again()
            except StoreError as error:
                self._fail(OUTCOME_UNKNOWN if self.attempted else failure_of(error))
            else:
                if self.entries:
                    await self._again()

    def _within_deadline(self) -> bool:
        now_s = self.tools.clock.monotonic_s()
        for entry in self.entries:
            if entry.pending.deadline_s <= now_s:
                entry.fail(OUTCOME_UNKNOWN if self.attempted else STORE_UNAVAILABLE)
        self.entries = [entry for entry in self.entries if entry.pending.deadline_s > now_s]
        return bool(self.entries)

    async def _attempt(self) -> None:
        """Send all of it once; what is not acknowledged stays in ``entries``."""
        queues, row = self.tools.queues, self.entries[0].pending.row
        if not await queues.stands(row, for_s=APPEND_S):
            raise FailureError(OUTCOME_UNKNOWN)
        self.tools.ahead.note(row, self.writer.log)
        self._stamp()
        self.harmless.clear()
        parts: dict[int, list[Entry]] = defaultdict(list)
        lowest, highest = await self._bucket(self.entries[0]), await self._bucket(self.entries[-1])
        for entry in tuple(self.entries):  # in order of ids, and so of buckets
            bucket = lowest if lowest == highest else await self._bucket(entry)
            if entry.bucket is None or entry.bucket == bucket:
                parts[bucket].append(entry)
            elif bucket > entry.bucket:
                entry.move(bucket)
                self.entries.remove(entry)
            else:
                self.harmless.add(entry)  # this node's clock has not reached the bucket of the key's row
        for bucket, part in parts.items():
            await self._send(bucket, [entry for entry in part if entry.key is None])
            await self._send_keyed(bucket, [entry for entry in part if entry.key is not None])

    async def _bucket(self, entry: Entry) -> int:
        return await self.tools.buckets.for_append(self.writer.log, ticks_of(entry.message_id))

    def _stamp(self) -> None:
        stamper = self.tools.stamper
        delayed = self.writer.log.lane is Lane.DELAYED
        first = stamper.stamp(len(self.entries))
        for number, entry in enumerate(self.entries, first):
            low = stamper.delayed_low() if delayed else stamper.live_low
            entry.message_id = make_id(number + entry.delay_ticks, low)
        self.entries.sort(key=lambda entry: entry.message_id)
        self.writer.note_attempt(self.entries[0].message_id, keep=self.attempted)

    async def _send(self, bucket: int, part: list[Entry]) -> None:
        if not part:
            return
        self.attempted = True
        await self.tools.store.append_plain(
            self.writer.log,
            bucket,
            [entry.message() for entry in part],
            consistency=part[0].pending.row.consistency,
        )
        self._acknowledge(part)
        await self._count(bucket, part)

    async def _send_keyed(self, bucket: int, part: list[Entry]) -> None:
        if not part:
            return
        self.attempted = True
        keyed = KeyedPart(self.tools, self.writer.log, bucket, part, rests=self._rests)
        try:
            await keyed.send()
            self.harmless.update(keyed.left)
        finally:
            settled = set(part).difference(keyed.left)
            self.entries = [entry for entry in self.entries if entry not in settled]
        self.writer.wake()
        await self._count(bucket, part)

    async def _count(self, bucket: int, part: list[Entry]) -> None:
        size_bytes = sum([entry.size_bytes for entry in part])
        try:
            await self.tools.buckets.written_plain(self.writer.log, bucket, messages=len(part), size_bytes=size_bytes)
        except StoreError:
            return  # the bucket grows on, until the next one can be announced

    def _rests(self, row: QueueRow) -> bool:
        """Is what an acknowledgement rests on still fresh?"""
        return (
            self.tools.queues.is_fresh(row)
            and self.tools.buckets.index_is_fresh(self.writer.log)
            and self.tools.clock_check.sure()
        )

    def _acknowledge(self, part: list[Entry]) -> None:
        """What is complete in time counts; so must be what it rests on."""
        now = self.tools.clock.now_ticks()
        rests = self._rests(part[0].pending.row)
        for entry in part:
            if rests and is_in_time(entry.message_id, now):
                entry.store(self.writer.log.partition, entry.message_id)
                self.entries.remove(entry)
        self.writer.wake()

    async def _again(self) -> None:
        """Late or unknown: once more under new ids where a second copy is allowed or excluded, else say so."""
        if self.entries[0].pending.row.guarantee is Guarantee.AT_MOST_ONCE:
            again = [entry for entry in self.entries if entry in self.harmless]
            self.entries = [entry for entry in self.entries if entry not in self.harmless]
            self._fail(OUTCOME_UNKNOWN)
            self.entries = again
        if self.entries and not await self.backoff.pause(latest_deadline_s(self.entries)):
            self._fail(OUTCOME_UNKNOWN)

    def _fail(self, failure: Failure) -> None:
        entries, self.entries = self.entries, []
        for entry in entries:
            entry.fail(failure)


async def write_plain(writer: Writer, entries: list[Entry]) -> None:
    """Append these entries; every one of them is settled when this returns or raises."""
    state = _PlainRound(writer, entries)
    try:
        await state.run()
    finally:
        for entry in state.entries:
            entry.fail(OUTCOME_UNKNOWN)
