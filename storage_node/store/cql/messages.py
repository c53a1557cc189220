"""Message rows: appended, listed, read by id, edited and counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from common.clock import Clock
from common.guarantees import Consistency
from common.identifiers import HIGHEST, MessageId, id_after, id_before
from storage_node.store.cql.buckets import Buckets, Place, fence_of, place_of
from storage_node.store.cql.keys import Keys, present_keys
from storage_node.store.cql.session import Call, CqlSession, Outcome
from storage_node.store.cql.statements import LIFETIMES, Level
from storage_node.store.cql.steps import Steps
from storage_node.store.cql.times import micros_of, ticks_of_micros, ttl_until
from storage_node.store.interface import (
    AppendAnswer,
    Applied,
    Behind,
    Closed,
    LogAddress,
    LogKey,
    NoBucket,
    StoredMessage,
)

PAGE_ROWS_MAX: Final = 1_000
PAGE_ROWS_FIRST: Final = 100
PAGE_BYTES: Final = 4 << 20
"""What a page after the first aims at: rows of 1 MiB must not come a thousand at a time."""
IDS_PER_READ: Final = 100
DELETES_PER_BATCH: Final = 100
COUNT_PAGE_ROWS: Final = 5_000

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, str]).decode


class Messages:
    """The messages of all logs."""

    def __init__(self, session: CqlSession, *, clock: Clock, buckets: Buckets, keys: Keys) -> None:
        self._session = session
        self._clock = clock
        self._buckets = buckets
        self._keys = keys
        self._steps = Steps(session, clock, buckets)

    # appending

    async def append_plain(
        self, log: LogAddress, bucket: int, messages: Sequence[StoredMessage], *, consistency: Consistency
    ) -> None:
        """Write the rows as one batch of one partition."""
        await self._prolong(log, bucket, messages)
        await self._session.write_batch(self._inserts(log, bucket, messages), level=_write_level(consistency))

    async def append_fenced(
        self,
        log: LogAddress,
        bucket: int,
        messages: Sequence[StoredMessage],
        *,
        keys: Sequence[LogKey],
        fenced: bool,
        consistency: Consistency,
        advance: bool,
    ) -> AppendAnswer:
        """Write fence, keys and rows as one conditional batch."""
        if not messages:
            return Applied()
        await self._prolong(log, bucket, messages)
        calls = self._keys.calls(log, bucket, messages, keys) + self._inserts(log, bucket, messages)
        if fenced:
            calls.insert(0, self._fence(log, bucket, messages, advance=advance))
        outcome = await self._session.compare_and_set_batch(calls, level=_write_level(consistency))
        return Applied() if outcome.applied else _refusal(outcome, keys, fenced=fenced)

    async def _prolong(self, log: LogAddress, bucket: int, messages: Sequence[StoredMessage]) -> None:
        needed_until = max([message.expires_ticks for message in messages])
        await self._buckets.prolong(log, bucket, needed_until=needed_until)

    def _inserts(self, log: LogAddress, bucket: int, messages: Sequence[StoredMessage]) -> list[Call]:
        name, place = f"insert_message_{LIFETIMES[log.lifetime]}", place_of(log, bucket)
        now_ticks = self._clock.now_ticks()
        return [(name, _cells(place, message, now_ticks)) for message in messages]

    def _fence(self, log: LogAddress, bucket: int, messages: Sequence[StoredMessage], *, advance: bool) -> Call:
        place, ttl_s = place_of(log, bucket), self._buckets.fence_ttl_s(log, bucket)
        first, last = messages[0].message_id, messages[-1].message_id
        if advance:
            return f"advance_fence_{LIFETIMES[log.lifetime]}", (ttl_s, last, *place, first)
        return f"hold_fence_{LIFETIMES[log.lifetime]}", (ttl_s, *place, first)

    # reading

    async def list_range(
        self,
        log: LogAddress,
        bucket: int,
        *,
        low: MessageId,
        high: MessageId,
        limit: int,
        descending: bool,
        now_ticks: int,
        consistency: Consistency,
        bodies: bool,
    ) -> list[StoredMessage]:
        """Return up to ``limit`` live rows of a range, in pages that begin after the last id seen."""
        name = f"list_{'' if bodies else 'bare_'}{'down' if descending else 'up'}_{LIFETIMES[log.lifetime]}"
        level = _read_level(consistency)
        found: list[StoredMessage] = []
        page = PAGE_ROWS_FIRST if bodies else PAGE_ROWS_MAX
        while len(found) < limit and low <= high:
            wanted = min(page, limit - len(found))
            rows = await self._steps.read(
                name, log, bucket, low=low, high=high, limit=wanted, descending=descending, level=level
            )
            found += [_message(row) for row in rows if row[1] > now_ticks]
            if len(rows) < wanted:
                break
            edge = rows[-1][0]
            low, high = (low, id_before(edge)) if descending else (id_after(edge), high)
            page = _next_page(rows)
        return found

    async def read(
        self, log: LogAddress, bucket: int, ids: Sequence[MessageId], *, now_ticks: int
    ) -> list[StoredMessage]:
        """Return the live ones of these ids."""
        name, place = f"read_messages_{LIFETIMES[log.lifetime]}", place_of(log, bucket)
        found: list[StoredMessage] = []
        for chunk in _chunks(list(dict.fromkeys(ids)), IDS_PER_READ):
            rows = await self._session.read(name, *place, chunk)
            found += [_message(row) for row in rows if row[1] > now_ticks]
        return found

    async def count(self, log: LogAddress, bucket: int, *, low: MessageId, limit: int, now_ticks: int) -> int:
        """Count live rows from ``low`` on, up to ``limit``."""
        name = f"list_expiries_{LIFETIMES[log.lifetime]}"
        count = 0
        while count < limit:
            wanted = min(COUNT_PAGE_ROWS, limit - count)
            rows = await self._steps.read(name, log, bucket, low=low, high=HIGHEST, limit=wanted)
            count += sum([expires > now_ticks for _, expires in rows])
            if len(rows) < wanted:
                break
            low = id_after(rows[-1][0])
        return count

    # editing

    async def put(self, log: LogAddress, bucket: int, message: StoredMessage, *, now_ticks: int) -> None:
        """Write the whole row, stamped with its own write time."""
        await self._prolong(log, bucket, [message])
        written_us = micros_of(message.written_ticks or now_ticks)
        name = f"put_message_{LIFETIMES[log.lifetime]}"
        await self._session.write(name, *_cells(place_of(log, bucket), message, self._clock.now_ticks()), written_us)

    async def delete(self, log: LogAddress, bucket: int, ids: Sequence[MessageId], *, written_ticks: int) -> None:
        """Delete rows, stamped with the given write time."""
        name, place, written_us = (
            f"delete_message_{LIFETIMES[log.lifetime]}",
            place_of(log, bucket),
            micros_of(written_ticks),
        )
        for chunk in _chunks(ids, DELETES_PER_BATCH):
            deletions: list[Call] = [(name, (written_us, *place, message_id)) for message_id in chunk]
            await self._session.write_batch(deletions + self._steps.posts(log, bucket, chunk))


def _cells(place: Place, message: StoredMessage, now_ticks: int) -> tuple[object, ...]:
    """All columns, always: a row that was written whole has no older cells to show."""
    return (
        *place,
        message.message_id,
        message.expires_ticks,
        message.content_type or "",
        _encode(message.attributes) if message.attributes else b"",
        message.body,
        ttl_until(message.expires_ticks, now_ticks),
    )


def _refusal(outcome: Outcome, keys: Sequence[LogKey], *, fenced: bool) -> AppendAnswer:
    """Read from the rows that stood in the way what to do next: keys first, then the bucket's end, then its order."""
    present = present_keys(outcome, keys)
    if present.keys or not fenced:
        return present
    fence = fence_of(outcome.rows[0])
    if fence is None:
        return NoBucket()
    return Closed(fence.next) if fence.closed and fence.next is not None else Behind(fence.last)


def _message(row: tuple[Any, ...]) -> StoredMessage:
    message_id, expires, content_type, attributes, written_us = row[:5]
    return StoredMessage(
        message_id,
        row[5] if len(row) > 5 else b"",
        content_type or None,
        _decode(attributes) if attributes else {},
        expires,
        ticks_of_micros(written_us),
    )


def _next_page(rows: Sequence[tuple[Any, ...]]) -> int:
    """Return how many rows like these make a page."""
    size_bytes = sum([len(row[5]) for row in rows if len(row) > 5]) // len(rows) + 1
    return min(max(PAGE_BYTES // size_bytes, 1), PAGE_ROWS_MAX)


def _chunks(ids: Sequence[MessageId], size: int) -> Iterator[Sequence[MessageId]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _read_level(consistency: Consistency) -> Level:
    return Level.ONE if consistency is Consistency.WEAK else Level.QUORUM


def _write_level(consistency: Consistency) -> Level:
    return Level.EACH_QUORUM if consistency is Consistency.VERY_STRONG else Level.QUORUM
