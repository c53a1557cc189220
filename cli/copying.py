"""Queues out of a store and into one, through the interface that both stores have.

Ids, lifetimes, groups and positions stay what they are, and so does the internal id of a queue, so that receipts
given out before count afterwards.  Idempotency keys are not copied: no store can list them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, NamedTuple

import msgspec

from cli.offline import OfflineError
from cli.records import (
    DeliveryRecord,
    GroupRecord,
    LastRecord,
    MessageRecord,
    QueueEnd,
    QueueRecord,
    Record,
)
from common.clock import SYSTEM_CLOCK
from common.guarantees import Consistency, LogKind
from common.identifiers import (
    HIGHEST,
    LOWEST,
    TICKS_PER_MS,
    MessageId,
    first_id_at,
    id_after,
    id_before,
    ticks_of,
)
from common.limits import BUCKET_BYTES_MAX, BUCKET_MESSAGES_MAX, LATE_WINDOW_MS
from storage_node.log.buckets import SPAN_TICKS, grid_bucket, is_on_grid, spans_of
from storage_node.store.interface import (
    Applied,
    Behind,
    Closed,
    GroupRow,
    Lane,
    LogAddress,
    NoBucket,
    QueueRow,
    Store,
    StoredMessage,
)

PAGE: Final = 100
"""Messages read or written at once."""
PAGE_BYTES: Final = 1 << 20
"""Bytes of bodies written at once."""


async def read_queue(store: Store, row: QueueRow) -> AsyncIterator[Record]:
    """Yield all that there is of a queue."""
    yield QueueRecord(row=row)
    messages = 0
    for partition in range(1, row.partitions + 1):
        for lane in Lane:
            log = LogAddress(row.queue_id, partition, lane, row.lifetime)
            last = LOWEST
            async for message in _messages(store, log):
                yield MessageRecord(partition=partition, lane=lane, message=message)
                messages += 1
                last = message.message_id
            fenced = await _last(store, log)
            last = fenced if lane is Lane.DELAYED else max(last, fenced)
            if last > LOWEST:
                yield LastRecord(partition=partition, lane=lane, last=last)
    for group in await store.list_groups(row.queue_id):
        yield GroupRecord(row=group)
        for partition in range(1, row.partitions + 1):
            delivery = await store.read_delivery(row.queue_id, partition, group.group)
            if delivery is not None:
                yield DeliveryRecord(partition=partition, group=group.group, row=delivery)
    yield QueueEnd(messages=messages)


async def _messages(store: Store, log: LogAddress) -> AsyncIterator[StoredMessage]:
    index = await _index(store, log)
    for bucket, low, high in (
        spans_of(index, LOWEST, HIGHEST) if store.capabilities.buckets else ((0, LOWEST, HIGHEST),)
    ):
        begin = low
        while True:
            now = SYSTEM_CLOCK.now_ticks()
            page = await store.list_messages(log, bucket, low=begin, high=high, limit=PAGE, now_ticks=now)
            for message in page:
                yield message
            if len(page) < PAGE:
                break
            begin = id_after(page[-1].message_id)


async def _index(store: Store, log: LogAddress) -> tuple[int, ...]:
    return tuple(row.bucket for row in await store.list_buckets(log)) if store.capabilities.buckets else (0,)


async def _last(store: Store, log: LogAddress) -> MessageId:
    last = LOWEST
    for bucket in await _index(store, log):
        fence = await store.read_fence(log, bucket)
        last = max(last, fence.last) if fence else last
    return last


class _Place(NamedTuple):
    """Where the next message of a log goes, and what is there."""

    bucket: int | None
    messages: int
    size_bytes: int


class QueueWriter:
    """Writes one queue's records, all but the queue's own row.  May be repeated from the start."""

    def __init__(self, store: Store, row: QueueRow) -> None:
        """``row`` is what the queue is to be in this store; see ``row_for``."""
        self._store = store
        self.row = row
        self._log: LogAddress | None = None
        self._batch: list[StoredMessage] = []
        self._batch_bytes = 0
        self._place = _Place(None, 0, 0)
        self._delivered: set[tuple[str, int]] = set()
        self._groups: list[GroupRow] = []

    async def write(self, record: Record) -> None:
        """Write one record, in the order in which ``read_queue`` yields them."""
        match record:
            case MessageRecord(partition=partition, lane=lane, message=message):
                await self._turn_to(partition, lane)
                await self._add(message)
            case LastRecord(partition=partition, lane=lane, last=last):
                await self._turn_to(partition, lane)
                await self._flush()
                await self._raise(last)
            case GroupRecord(row=group):
                self._groups.append(group)
            case DeliveryRecord(partition=partition, group=group_name, row=delivery):
                self._delivered.add((group_name, partition))
                queue_id = self.row.queue_id
                await self._store.swap_delivery(queue_id, partition, group_name, expected=None, row=delivery)
            case _:
                raise OfflineError("a record stands where it does not belong")

    async def finish(self) -> None:
        """Write what is left."""
        await self._flush()
        for group in self._groups:
            await self._store.insert_group(self.row.queue_id, self._group_here(group))

    def _group_here(self, group: GroupRow) -> GroupRow:
        """A group that begins at the end of a plain log says so by time; a fenced one by the ends of the log."""
        if group.start == "end" and not group.ends and self.row.log is LogKind.FENCED:
            return group._replace(start="at", created_ticks=group.created_ticks - LATE_WINDOW_MS * TICKS_PER_MS)
        return group

    async def _turn_to(self, partition: int, lane: Lane) -> None:
        log = LogAddress(self.row.queue_id, partition, lane, self.row.lifetime)
        if log != self._log:
            await self._flush()
            self._log, self._place = log, _Place(None if self._on_grid(lane) else 0, 0, 0)

    def _on_grid(self, lane: Lane) -> bool:
        return self._store.capabilities.buckets and is_on_grid(self.row.log, lane)

    async def _add(self, message: StoredMessage) -> None:
        size = len(message.body)
        if len(self._batch) >= PAGE or self._batch_bytes + size > PAGE_BYTES or self._begins_bucket(message):
            await self._flush()
        self._batch.append(message._replace(written_ticks=0))
        self._batch_bytes += size

    def _begins_bucket(self, message: StoredMessage) -> bool:
        if not self._batch or self._log is None or not self._on_grid(self._log.lane):
            return False
        first = self._batch[0].message_id
        return grid_bucket(ticks_of(first)) != grid_bucket(ticks_of(message.message_id))

    async def _flush(self) -> None:
        batch, self._batch = self._batch, []
        size_bytes, self._batch_bytes = self._batch_bytes, 0
        if not batch or self._log is None:
            return
        if self._on_grid(self._log.lane):
            await self._append_on_grid(self._log, batch)
        else:
            await self._append_fenced(self._log, batch)
        self._place = self._place._replace(
            messages=self._place.messages + len(batch), size_bytes=self._place.size_bytes + size_bytes
        )

    async def _append_on_grid(self, log: LogAddress, batch: list[StoredMessage]) -> None:
        first = ticks_of(batch[0].message_id)
        bucket = self._place.bucket
        if bucket is None or grid_bucket(bucket) != grid_bucket(first) or self._is_full():
            bucket = grid_bucket(first) if bucket is None or grid_bucket(bucket) != grid_bucket(first) else first
            last = LOWEST if self.row.log is LogKind.PLAIN else first_id_at(0)
            await self._store.open_bucket(log, bucket, last=last, now_ticks=SYSTEM_CLOCK.now_ticks())
            self._place = _Place(bucket, 0, 0)
        if self.row.log is LogKind.PLAIN:
            await self._store.append_plain(log, bucket, batch, consistency=Consistency.STRONG)
        else:
            await self._append_fenced(log, batch)

    async def _append_fenced(self, log: LogAddress, batch: list[StoredMessage]) -> None:
        while batch:
            bucket = self._place.bucket or 0
            advance = log.lane is Lane.LIVE
            answer = await self._store.append_fenced(
                log, bucket, batch, consistency=Consistency.STRONG, advance=advance
            )
            match answer:
                case Applied():
                    await self._roll_if_full(log, bucket, batch[-1].message_id)
                    return
                case Behind(last):  # an earlier try came as far as this
                    batch = [message for message in batch if message.message_id > last]
                case Closed(next_bucket):
                    self._place = _Place(next_bucket, 0, 0)
                case NoBucket():
                    last = id_before(first_id_at(bucket))
                    await self._store.open_bucket(log, bucket, last=last, now_ticks=SYSTEM_CLOCK.now_ticks())
                case _:
                    raise OfflineError("an append was answered with keys that it did not have")

    async def _roll_if_full(self, log: LogAddress, bucket: int, last: MessageId) -> None:
        old = bool(bucket) and ticks_of(last) - bucket >= SPAN_TICKS
        if self._store.capabilities.buckets and not self._on_grid(log.lane) and (old or self._is_full()):
            fence = await self._store.close_bucket(log, bucket, last=last, next_bucket=ticks_of(last) + 1)
            if fence.next is not None:
                self._place = _Place(fence.next, 0, 0)

    def _is_full(self) -> bool:
        return self._place.messages >= BUCKET_MESSAGES_MAX or self._place.size_bytes >= BUCKET_BYTES_MAX

    async def _raise(self, last: MessageId) -> None:
        if self.row.log is LogKind.PLAIN or self._log is None:
            return
        for bucket in await _index(self._store, self._log):
            await self._store.raise_last(self._log, bucket, last=last)


def row_for(store: Store, row: QueueRow) -> QueueRow:
    """Return what a queue is in a store: its log is fenced where the store has no plain ones."""
    if row.log is LogKind.PLAIN and not store.capabilities.plain_logs:
        return msgspec.structs.replace(row, log=LogKind.FENCED)
    return row


async def queues_of(store: Store, application: str) -> AsyncIterator[QueueRow]:
    """Yield an application's queues, by name."""
    offset: str | None = None
    while True:
        rows, offset = await store.list_queues(application, offset=offset, limit=1_000)
        for row in rows:
            yield row
        if offset is None:
            return
