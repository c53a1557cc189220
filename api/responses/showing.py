"""Replies of storage nodes -> the shapes of HTTP."""

from __future__ import annotations

import base64
from typing import Literal

import msgspec

from api.responses.shapes import (
    ClaimAnswer,
    GroupList,
    GroupShown,
    MessageClaimed,
    MessageList,
    MessageOutcome,
    MessagePage,
    MessageShown,
    MessageStored,
    PublishAnswer,
    PublishRefused,
    QueueChanged,
    QueueListed,
    ReceiptAnswer,
    ReceiptSettled,
    Seconds,
    SettleAnswer,
)
from api.responses.statuses import status_of
from common.identifiers import TICKS_PER_SECOND, UUID_EPOCH_TICKS, id_to_hex, ticks_to_seconds_text, timestamp_of
from common.protocol.failures import Failure
from common.protocol.operations import (
    Claimed,
    Claims,
    GroupInfo,
    Groups,
    Message,
    MessagesRead,
    Published,
    QueueInfo,
    Settled,
    Settlements,
    Stored,
)

Encoded = tuple[str, Literal["base64"] | msgspec.UnsetType]


def queue_changed(info: QueueInfo, *, principles_as_list: bool) -> QueueChanged:
    """Return a queue as its creation (principles as sent) or its change and settings (as a list) show it."""
    principles = info.principles
    return QueueChanged(
        queue_name=info.queue,
        application=info.application,
        partitions=info.partitions,
        type=info.type,
        consistency=info.consistency,
        created=unix_seconds(info.created_ticks),
        principles=principles_list(principles) if principles_as_list else principles or None,
        guarantee=info.guarantee,
        log=info.log,
        ttl=info.ttl_s,
        delay=duration(info.delay_ms),
        lease=duration(info.lease_ms),
        max_deliveries=info.max_deliveries,
        dead_letter_queue=info.dead_letter_queue,
        ordering=info.ordering,
        max_in_flight=info.max_in_flight,
    )


def queue_listed(info: QueueInfo, *, details: bool) -> QueueListed:
    """Return a queue as a list shows it."""
    if not details:
        return QueueListed(queue_name=info.queue)
    return QueueListed(
        queue_name=info.queue,
        application=info.application,
        partitions=info.partitions,
        type=info.type,
        consistency=info.consistency,
        created=unix_seconds(info.created_ticks),
        principles=info.principles or msgspec.UNSET,
        guarantee=info.guarantee,
        count=msgspec.UNSET if info.count is None else info.count,
    )


def message_shown(message: Message) -> MessageShown:
    """Return a message as reads show it."""
    body, encoding = body_text(message.body)
    return MessageShown(
        message_id=id_to_hex(message.message_id),
        timestamp=timestamp_of(message.message_id),
        body=body,
        partition=message.partition,
        encoding=encoding,
        content_type=message.content_type,
        attributes=message.attributes,
    )


def message_list(read: MessagesRead) -> MessageList:
    """Return messages that were asked for by id."""
    return MessageList(messages=[message_shown(message) for message in read.messages])


def message_page(read: MessagesRead, next_cursor: str) -> MessagePage:
    """Return what a read found."""
    return MessagePage(
        messages=[message_shown(message) for message in read.messages],
        next=next_cursor,
        complete_until={str(partition): id_to_hex(until) for partition, until in read.complete_until.items()},
        guarantee=read.guarantee,
    )


def message_stored(stored: Stored) -> MessageStored:
    """Return where one message of a publish is."""
    return MessageStored(
        key=id_to_hex(stored.message_id), timestamp=timestamp_of(stored.message_id), partition=stored.partition
    )


def publish_answer(published: Published) -> PublishAnswer:
    """Return the answer to a publish that stored all."""
    return PublishAnswer(
        messages=[message_stored(stored) for stored in published.results], guarantee=published.guarantee
    )


def worst_failure(published: Published) -> Failure | None:
    """Return the failure with the highest status among the results, ``None`` if all messages are stored."""
    failures = [stored.failure for stored in published.results if stored.failure is not None]
    return max(failures, key=lambda failure: status_of(failure.code)) if failures else None


def publish_refused(published: Published, worst: Failure, *, is_batch: bool) -> PublishRefused:
    """Return the answer to a publish that did not store all; ``error_msg`` is by index in a batch."""
    texts = {
        str(index): stored.failure.text
        for index, stored in enumerate(published.results)
        if stored.failure is not None
    }
    return PublishRefused(
        error_msg=texts if is_batch else {worst.field: worst.text, **worst.more},
        code=worst.code,
        retry=worst.retry,
        messages=[_message_outcome(stored) for stored in published.results],
        guarantee=published.guarantee,
    )


def claim_answer(claims: Claims) -> ClaimAnswer:
    """Return what a claim handed out."""
    return ClaimAnswer(
        claims=[_message_claimed(claimed) for claimed in claims.claims],
        acked=[receipt_settled(settled) for settled in claims.acked],
        guarantee=claims.guarantee,
    )


def settle_answer(settlements: Settlements) -> SettleAnswer:
    """Return what became of receipts."""
    return SettleAnswer(
        results=[receipt_settled(settled) for settled in settlements.results], guarantee=settlements.guarantee
    )


def receipt_answer(settlements: Settlements) -> ReceiptAnswer:
    """Return what became of the one receipt asked for."""
    (settled,) = settlements.results
    return ReceiptAnswer(
        receipt=settled.receipt,
        outcome=settled.outcome,  # type: ignore[arg-type]
        guarantee=settlements.guarantee,
    )


def receipt_settled(settled: Settled) -> ReceiptSettled:
    """Return what became of one receipt; after an extension under its new text."""
    until = settled.lease_until_ticks
    return ReceiptSettled(
        receipt=settled.new_receipt or settled.receipt,
        outcome=settled.outcome,  # type: ignore[arg-type]
        lease_until=msgspec.UNSET if until is None else ticks_to_seconds_text(until),
    )


def group_list(groups: Groups) -> GroupList:
    """Return the progress of all groups."""
    return GroupList(groups=[_group_shown(group) for group in groups.groups], guarantee=groups.guarantee)


def body_text(body: bytes) -> Encoded:
    """Return a body as text and how it is encoded: plain where it is UTF-8, base64 otherwise."""
    try:
        return body.decode(), msgspec.UNSET
    except UnicodeDecodeError:
        return base64.b64encode(body).decode("ascii"), "base64"


def principles_list(principles: str | None) -> list[str]:
    """Return v1's comma-separated text as a list."""
    return [entry.strip() for entry in (principles or "").split(",") if entry.strip()]


def unix_seconds(ticks: int) -> float:
    """Return a time as v1's ``created``: a JSON number, good to a microsecond."""
    return (ticks - UUID_EPOCH_TICKS) / TICKS_PER_SECOND


def duration(duration_ms: int) -> Seconds:
    """Return milliseconds as seconds, whole where they are."""
    return duration_ms / 1000 if duration_ms % 1000 else duration_ms // 1000


def _message_outcome(stored: Stored) -> MessageOutcome:
    if stored.failure is not None:
        return MessageOutcome(code=stored.failure.code, retry=stored.failure.retry)
    good = message_stored(stored)
    return MessageOutcome(key=good.key, timestamp=good.timestamp, partition=good.partition)


def _message_claimed(claimed: Claimed) -> MessageClaimed:
    message = claimed.message
    body, encoding = body_text(message.body)
    until = claimed.lease_until_ticks
    return MessageClaimed(
        message_id=id_to_hex(message.message_id),
        timestamp=timestamp_of(message.message_id),
        body=body,
        partition=message.partition,
        encoding=encoding,
        content_type=message.content_type,
        attributes=message.attributes,
        deliveries=claimed.deliveries,
        receipt=claimed.receipt,
        lease_until=None if until is None else ticks_to_seconds_text(until),
    )


def _group_shown(group: GroupInfo) -> GroupShown:
    return GroupShown(
        group=group.group,
        backlog=group.backlog,
        backlog_more=group.backlog_more,
        in_flight=group.in_flight,
        oldest=None if group.oldest_ticks is None else ticks_to_seconds_text(group.oldest_ticks),
        position={str(partition): id_to_hex(message_id) for partition, message_id in group.position.items()},
    )
