"""Rows with fresh names, and calls that go on until their outcome is certain."""

from __future__ import annotations

import os
from collections.abc import Sequence

from common.clock import SYSTEM_CLOCK
from common.guarantees import Consistency, Guarantee, LogKind, Ordering, QueueType
from common.identifiers import HIGHEST, LOWEST, TICKS_PER_SECOND, MessageId, QueueId, make_id, ticks_of
from storage_node.store.errors import StoreUnknownError
from storage_node.store.interface import (
    AppendAnswer,
    Applied,
    Behind,
    DeliveryRow,
    KeyPresent,
    Lane,
    LogAddress,
    LogKey,
    QueueRow,
    Store,
    StoredMessage,
)

STRONG = Consistency.STRONG
HOUR_TICKS = 3600 * TICKS_PER_SECOND
LOW = b"\x80\x00\x01abcde"
"""The 8 low bytes of test ids."""


def now() -> int:
    """Return this machine's time in ticks."""
    return SYSTEM_CLOCK.now_ticks()


def fresh_id() -> QueueId:
    """Return an internal queue id that no other test has."""
    return QueueId(os.urandom(16))


def fresh_name(prefix: str = "name") -> str:
    """Return a name that no other test has."""
    return f"{prefix}-{os.urandom(8).hex()}"


def fresh_log(lane: Lane = Lane.LIVE, *, partition: int = 1) -> LogAddress:
    """Return the address of a log that nobody has."""
    return LogAddress(fresh_id(), partition, lane, 1)


def queue_row(application: str, name: str, *, version: int = 1, ttl_s: int = 3600) -> QueueRow:
    """Return a row with a new internal id."""
    return QueueRow(
        application=application,
        name=name,
        queue_id=fresh_id(),
        version=version,
        created_ticks=now(),
        guarantee=Guarantee.EXACTLY_ONCE,
        log=LogKind.FENCED,
        lifetime=1,
        partitions=3,
        partitions_at_creation=3,
        type=QueueType.USER,
        consistency=Consistency.STRONG,
        principles="bid:a@example.com",
        ttl_s=ttl_s,
        delay_ms=0,
        lease_ms=30_000,
        max_deliveries=0,
        dead_letter_queue="",
        ordering=Ordering.NONE,
        max_in_flight=1_000,
    )


def message(message_id: MessageId, body: bytes = b"body", *, expires_ticks: int = 0) -> StoredMessage:
    """Return a row that expires in an hour unless told."""
    return StoredMessage(message_id, body, None, {}, expires_ticks or now() + HOUR_TICKS)


def ids_from(ticks: int, count: int) -> list[MessageId]:
    """Return ids of consecutive instants."""
    return [make_id(ticks + n, LOW) for n in range(count)]


async def open_log(store: Store, log: LogAddress) -> int:
    """Return a bucket of the log that can be appended to."""
    if not store.capabilities.buckets:
        return 0
    bucket = now()
    await store.open_bucket(log, bucket, last=LOWEST, now_ticks=bucket)
    return bucket


async def append(
    store: Store, log: LogAddress, bucket: int, messages: Sequence[StoredMessage], *, keys: Sequence[LogKey] = ()
) -> AppendAnswer:
    """Append once, fenced."""
    return await store.append_fenced(log, bucket, messages, keys=keys, consistency=STRONG)


async def list_all(
    store: Store,
    log: LogAddress,
    bucket: int,
    *,
    low: MessageId = LOWEST,
    high: MessageId = HIGHEST,
    now_ticks: int | None = None,
) -> list[StoredMessage]:
    """Return up to 100,000 messages between two ids."""
    moment = now() if now_ticks is None else now_ticks
    return await store.list_messages(log, bucket, low=low, high=high, limit=100_000, now_ticks=moment)


async def append_surely(
    store: Store, log: LogAddress, bucket: int, body: bytes, *, key: bytes, first: MessageId
) -> AppendAnswer:
    """Append one keyed message, stamping anew while behind and asking again while the outcome is unknown."""
    message_id, tried = first, set[MessageId]()
    while True:
        tried.add(message_id)
        try:
            answer = await append(store, log, bucket, [message(message_id, body)], keys=[LogKey(key, message_id)])
        except StoreUnknownError:
            continue
        if isinstance(answer, Behind):
            message_id = make_id(ticks_of(answer.last) + 1, LOW)
        elif isinstance(answer, KeyPresent) and answer.keys[key] in tried:
            return Applied()
        else:
            return answer


async def swap_surely(
    store: Store, queue_id: QueueId, group: str, *, expected: bytes | None, row: DeliveryRow
) -> bool:
    """Swap, and find out whether it was ours that was applied."""
    while True:
        try:
            return await store.swap_delivery(queue_id, 1, group, expected=expected, row=row)
        except StoreUnknownError:
            standing = await store.read_delivery(queue_id, 1, group)
        if standing is not None and standing.version == row.version:
            return True
        if (None if standing is None else standing.version) != expected:
            return False
