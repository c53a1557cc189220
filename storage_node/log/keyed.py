"""Publishing under a client's key: its row says where the message is, whatever happened since."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

from common.guarantees import LogKind
from common.identifiers import TICKS_PER_MS, TICKS_PER_SECOND
from common.protocol.failures import FailureError
from common.protocol.operations import Stored
from storage_node.log.bounds import log_of
from storage_node.log.buckets import is_on_grid
from storage_node.log.outcomes import KEY_CONFLICT, OUTCOME_UNKNOWN, failure_of
from storage_node.log.pending import NOT_YET, Entry, Pending, delay_ms_of, lane_of
from storage_node.log.plain_keys import KeyBuckets
from storage_node.log.tools import Tools
from storage_node.log.values import Draft
from storage_node.log.writer import Backoff, Writers
from storage_node.store.errors import StoreError, StoreUnknownError
from storage_node.store.interface import KeyRow, Lane, LogAddress, QueueRow

KEPT_LONGER_TICKS: Final = 600 * TICKS_PER_SECOND
"""How long a key outlives its message."""
DIGEST_BYTES: Final = 16


def digest_of(draft: Draft) -> bytes:
    """Return what makes two messages the same: body (with it the encoding) and content type."""
    digest = hashlib.blake2b(draft.body, digest_size=DIGEST_BYTES)
    if draft.content_type is not None:
        digest.update(b"\x00type\x00" + draft.content_type.encode())
    return digest.digest()


class KeyedAppends:
    """Appends that are stored once per key of a queue."""

    def __init__(self, tools: Tools, writers: Writers) -> None:
        self._tools = tools
        self._writers = writers
        self._in_bucket = KeyBuckets(tools)

    async def append(self, queue: QueueRow, partition: int, draft: Draft, *, deadline_s: float) -> Stored:
        """Store the draft under its key, or answer where it is stored already."""
        backoff = Backoff(self._tools.clock)
        unknown = False
        while True:
            try:
                return await self._append(queue, partition, draft, deadline_s)
            except FailureError as error:
                return Stored(failure=error.failure)
            except StoreUnknownError:
                unknown = True
                if not await backoff.pause(deadline_s):
                    return Stored(failure=OUTCOME_UNKNOWN)
            except StoreError as error:
                return Stored(failure=OUTCOME_UNKNOWN if unknown else failure_of(error))

    async def _append(self, queue: QueueRow, partition: int, draft: Draft, deadline_s: float) -> Stored:
        place, is_new = await self._place(queue, partition, draft)
        if not is_new and queue.log is LogKind.PLAIN:
            known = await self._in_bucket.known(queue, _log(queue, place), place.bucket, _log_key(draft))
            if known is not None:
                return known
        backoff = Backoff(self._tools.clock)
        while True:
            result, next_bucket = await self._write(queue, place, draft, deadline_s)
            if next_bucket is None:
                return result
            settled = await self._leave(queue, place, draft)
            if settled is not None:
                return settled
            if next_bucket <= place.bucket:
                next_bucket = await self._bucket(queue, _log(queue, place), draft)
            if next_bucket > place.bucket:
                place = await self._move(queue, place, next_bucket, draft)
            elif await backoff.pause(deadline_s):
                place, _ = await self._row(queue, place, draft)
            else:
                return Stored(failure=OUTCOME_UNKNOWN)

    async def _place(self, queue: QueueRow, partition: int, draft: Draft) -> tuple[KeyRow, bool]:
        """Make the key's row, or learn where it points to; is it new?"""
        log = log_of(queue, partition, lane_of(queue, draft))
        bucket = await self._bucket(queue, log, draft)
        return await self._row(queue, KeyRow(partition, log.lane, bucket, digest_of(draft)), draft)

    async def _bucket(self, queue: QueueRow, log: LogAddress, draft: Draft) -> int:
        """Return the bucket of a message that is stamped now."""
        if not is_on_grid(queue.log, log.lane):
            return await self._tools.buckets.current(log)
        due = self._tools.clock.now_ticks() + delay_ms_of(queue, draft) * TICKS_PER_MS
        return await self._tools.buckets.for_append(log, due)

    async def _row(self, queue: QueueRow, wanted: KeyRow, draft: Draft) -> tuple[KeyRow, bool]:
        standing = await self._tools.store.insert_key(
            queue.queue_id, _key(draft), wanted, expires_ticks=self._expires(queue, draft)
        )
        if standing is None:
            return wanted, True
        if standing.digest != wanted.digest:
            raise FailureError(KEY_CONFLICT)
        return standing, False

    async def _write(
        self, queue: QueueRow, place: KeyRow, draft: Draft, deadline_s: float
    ) -> tuple[Stored, int | None]:
        """Append where the row points to; a bucket in the answer: closed without it, go on there."""
        log = _log(queue, place)
        pending = Pending(queue, 1, asyncio.get_running_loop().create_future(), deadline_s)
        entry = Entry(pending, 0, draft, key=_log_key(draft), bucket=place.bucket)
        entry.delay_ticks = self._delay_ticks(place, entry.delay_ticks)
        self._writers.submit(log, queue.log, [entry])
        (result,) = await pending.future
        return result, entry.moved_to if result is NOT_YET else None

    def _delay_ticks(self, place: KeyRow, asked: int) -> int:
        """The row decides the lane, and which bucket the due time is in: a retry may ask for another delay."""
        if place.lane is Lane.LIVE:
            return 0
        return max(asked, TICKS_PER_MS, place.bucket - self._tools.clock.now_ticks())

    async def _leave(self, queue: QueueRow, place: KeyRow, draft: Draft) -> Stored | None:
        """Settle the key in the bucket that its row names.  A closed bucket's *no* is final as it is."""
        log, key = _log(queue, place), _log_key(draft)
        if is_on_grid(queue.log, place.lane):
            expires_ticks = self._expires(queue, draft)
            return await self._in_bucket.leave(queue, log, place.bucket, key, expires_ticks=expires_ticks)
        state = (await self._tools.store.read_keys(log, place.bucket, [key])).get(key)
        return None if state is None else Stored(message_id=state.message_id, partition=place.partition)

    async def _move(self, queue: QueueRow, place: KeyRow, bucket: int, draft: Draft) -> KeyRow:
        moved = place._replace(bucket=bucket)
        done = await self._tools.store.move_key(
            queue.queue_id,
            _key(draft),
            moved,
            expected_bucket=place.bucket,
            expires_ticks=self._expires(queue, draft),
        )
        return moved if done else (await self._row(queue, moved, draft))[0]

    def _expires(self, queue: QueueRow, draft: Draft) -> int:
        ttl_s = queue.ttl_s if draft.ttl_s is None else draft.ttl_s
        kept = ttl_s * TICKS_PER_SECOND + delay_ms_of(queue, draft) * TICKS_PER_MS + KEPT_LONGER_TICKS
        return self._tools.clock.now_ticks() + kept


def _log(queue: QueueRow, place: KeyRow) -> LogAddress:
    return log_of(queue, place.partition, place.lane)


def _key(draft: Draft) -> str:
    assert draft.key is not None, "only drafts with a key come here"
    return draft.key


def _log_key(draft: Draft) -> bytes:
    return b"k" + _key(draft).encode()
