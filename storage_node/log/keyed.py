"""Publishing under a client's key: its row says where the message is, whatever happened since (DESIGN, section 5)."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

from common.guarantees import LogKind
from common.identifiers import LOWEST, TICKS_PER_MS, TICKS_PER_SECOND
from common.protocol.failures import FailureError
from common.protocol.operations import Stored
from storage_node.log.bounds import log_of
from storage_node.log.outcomes import KEY_CONFLICT, OUTCOME_UNKNOWN, failure_of
from storage_node.log.pending import NOT_YET, Entry, Pending, delay_ms_of, lane_of
from storage_node.log.tools import Tools
from storage_node.log.values import Draft
from storage_node.log.writer import Backoff, Writers
from storage_node.store.errors import StoreError, StoreUnknownError
from storage_node.store.interface import KeyPresent, KeyRow, Lane, LogKey, QueueRow

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
        place = await self._place(queue, partition, draft)
        while True:
            result, next_bucket = await self._write(queue, place, draft, deadline_s)
            if next_bucket is None:
                return result
            place = await self._move(queue, place, next_bucket, draft)

    async def _place(self, queue: QueueRow, partition: int, draft: Draft) -> KeyRow:
        """Make the key's row, or learn where it points to."""
        log = log_of(queue, partition, lane_of(queue, draft))
        if queue.log is LogKind.FENCED and log.lane is Lane.LIVE:
            bucket = await self._tools.buckets.current(log)
        else:
            due = self._tools.clock.now_ticks() + delay_ms_of(queue, draft) * TICKS_PER_MS
            bucket = await self._tools.buckets.for_append(log, due)
        wanted = KeyRow(partition, log.lane, bucket, digest_of(draft))
        return await self._row(queue, wanted, draft)

    async def _row(self, queue: QueueRow, wanted: KeyRow, draft: Draft) -> KeyRow:
        standing = await self._tools.store.insert_key(
            queue.queue_id, _key(draft), wanted, expires_ticks=self._expires(queue, draft)
        )
        if standing is None:
            return wanted
        if standing.digest != wanted.digest:
            raise FailureError(KEY_CONFLICT)
        return standing

    async def _write(
        self, queue: QueueRow, place: KeyRow, draft: Draft, deadline_s: float
    ) -> tuple[Stored, int | None]:
        """Append where the row points to; a bucket in the answer: closed without it, go on there."""
        log = log_of(queue, place.partition, place.lane)
        pending = Pending(queue, 1, asyncio.get_running_loop().create_future(), deadline_s)
        entry = Entry(pending, 0, draft, key=_log_key(draft), bucket=place.bucket)
        if entry.delay_ticks == 0 and place.lane is Lane.DELAYED:
            entry.delay_ticks = TICKS_PER_MS
        self._writers.submit(log, queue.log, [entry])
        (result,) = await pending.future
        if result is not NOT_YET or entry.moved_to is None:
            return result, None
        return await self._look_back(queue, place, draft, entry.moved_to)

    async def _look_back(
        self, queue: QueueRow, place: KeyRow, draft: Draft, next_bucket: int
    ) -> tuple[Stored, int | None]:
        """Ask the bucket that the row names: is the key there?  A closed bucket's *no* is final."""
        log = log_of(queue, place.partition, place.lane)
        answer = await self._tools.store.append_fenced(
            log, place.bucket, [], keys=[LogKey(_log_key(draft), LOWEST)], consistency=queue.consistency
        )
        if isinstance(answer, KeyPresent):
            return Stored(message_id=answer.keys[_log_key(draft)], partition=place.partition), None
        return NOT_YET, next_bucket

    async def _move(self, queue: QueueRow, place: KeyRow, bucket: int, draft: Draft) -> KeyRow:
        moved = place._replace(bucket=bucket)
        done = await self._tools.store.move_key(
            queue.queue_id,
            _key(draft),
            moved,
            expected_bucket=place.bucket,
            expires_ticks=self._expires(queue, draft),
        )
        return moved if done else await self._row(queue, moved, draft)

    def _expires(self, queue: QueueRow, draft: Draft) -> int:
        ttl_s = queue.ttl_s if draft.ttl_s is None else draft.ttl_s
        kept = ttl_s * TICKS_PER_SECOND + delay_ms_of(queue, draft) * TICKS_PER_MS + KEPT_LONGER_TICKS
        return self._tools.clock.now_ticks() + kept


def _key(draft: Draft) -> str:
    assert draft.key is not None, "only drafts with a key come here"
    return draft.key


def _log_key(draft: Draft) -> bytes:
    return b"k" + _key(draft).encode()
