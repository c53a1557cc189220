"""The JSON of every good answer, as structs: they are encoded from here, and the OpenAPI document describes them.

A value that is not there is left out, except where v1 sends ``null``.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from common.guarantees import Consistency, Guarantee, LogKind, Ordering, QueueType
from common.protocol.failures import Retry

Seconds = int | float
"""A duration: whole, or with up to three decimals."""


class Shape(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An object in an answer."""


class Answer(Shape, frozen=True, kw_only=True, tag_field="status", tag="ok"):
    """A whole good answer; ``status`` is ``ok``."""


class Ok(Answer, frozen=True, kw_only=True, tag="ok"):
    """Done, and nothing else to say."""


class ErrorAnswer(Shape, frozen=True, kw_only=True, tag_field="status", tag="error"):
    """A refusal."""

    error_msg: dict[str, str]
    """Field or name -> text; the text is no API."""
    code: str
    """Stable, machine-readable."""
    retry: Retry
    """Whether the same request may be sent again."""


# --- queues -----------------------------------------------------------------------------------------------


class QueueOptions(Shape, frozen=True, kw_only=True, omit_defaults=False):
    """What can be set on a queue beyond v1."""

    guarantee: Guarantee
    log: LogKind
    ttl: int
    """Seconds."""
    delay: Seconds
    lease: Seconds
    max_deliveries: int
    """0: no bound."""
    dead_letter_queue: str
    """Empty: none."""
    ordering: Ordering
    max_in_flight: int


class QueueChanged(QueueOptions, frozen=True, kw_only=True, tag_field="status", tag="ok"):
    """A queue as its creation, its change and its settings answer it."""

    queue_name: str
    application: str
    partitions: int
    type: QueueType
    consistency: Consistency
    created: float
    """Unix seconds."""
    principles: str | list[str] | None
    """On creation the text as sent or ``null``, otherwise a list."""


class QueueListed(Shape, frozen=True, kw_only=True):
    """One queue in a list; all but the name only with ``details``."""

    queue_name: str
    application: str | msgspec.UnsetType = msgspec.UNSET
    partitions: int | msgspec.UnsetType = msgspec.UNSET
    type: QueueType | msgspec.UnsetType = msgspec.UNSET
    consistency: Consistency | msgspec.UnsetType = msgspec.UNSET
    created: float | msgspec.UnsetType = msgspec.UNSET
    principles: str | msgspec.UnsetType = msgspec.UNSET
    guarantee: Guarantee | msgspec.UnsetType = msgspec.UNSET
    count: int | msgspec.UnsetType = msgspec.UNSET
    """Messages, with ``include_count``."""


class QueueList(Answer, frozen=True, kw_only=True, tag="ok"):
    """Queues in a stable order."""

    queues: list[QueueListed]


# --- messages ---------------------------------------------------------------------------------------------


class MessageShown(Shape, frozen=True, kw_only=True):
    """A message as it is read."""

    message_id: str
    """32 lower-case hex digits of a version-1 UUID."""
    timestamp: str
    """Unix seconds with up to seven decimals."""
    body: str
    partition: int
    encoding: Literal["base64"] | msgspec.UnsetType = msgspec.UNSET
    """Only where the body is no UTF-8 text."""
    content_type: str | None = None
    attributes: dict[str, str] = {}


class MessageList(Answer, frozen=True, kw_only=True, tag="ok"):
    """Messages by id."""

    messages: list[MessageShown]


class MessagePage(MessageList, frozen=True, kw_only=True, tag="ok"):
    """Messages of a read, grouped by partition."""

    next: str
    """Where to go on, sent back as ``cursor``."""
    complete_until: dict[str, str] = {}
    """Partition -> id at or below which no acknowledged message can still appear; absent for weak reads."""
    guarantee: Guarantee


class MessageStored(Shape, frozen=True, kw_only=True):
    """One stored message of a publish."""

    key: str
    timestamp: str
    partition: int


class MessageOutcome(Shape, frozen=True, kw_only=True):
    """One message of a publish that did not go well as a whole: where it is stored, or why it is not known to be."""

    key: str | msgspec.UnsetType = msgspec.UNSET
    timestamp: str | msgspec.UnsetType = msgspec.UNSET
    partition: int | msgspec.UnsetType = msgspec.UNSET
    code: str | msgspec.UnsetType = msgspec.UNSET
    retry: Retry | msgspec.UnsetType = msgspec.UNSET


class PublishAnswer(Answer, frozen=True, kw_only=True, tag="ok"):
    """All messages are stored, in the order sent."""

    messages: list[MessageStored]
    guarantee: Guarantee


class PublishRefused(ErrorAnswer, frozen=True, kw_only=True, tag="error"):
    """Not all messages are stored; ``code`` is the worst."""

    messages: list[MessageOutcome]
    guarantee: Guarantee


# --- delivery ---------------------------------------------------------------------------------------------


class MessageClaimed(MessageShown, frozen=True, kw_only=True, omit_defaults=False):
    """A message handed out."""

    deliveries: int
    receipt: str | None
    """``null`` under at_most_once."""
    lease_until: str | None
    """Unix seconds."""


class ReceiptSettled(Shape, frozen=True, kw_only=True):
    """What became of one receipt."""

    receipt: str
    """The one sent, or after an extension the new one."""
    outcome: Literal["acked", "already_acked", "released", "extended", "leased", "lease_lost", "unknown"]
    lease_until: str | msgspec.UnsetType = msgspec.UNSET


class ClaimAnswer(Answer, frozen=True, kw_only=True, tag="ok"):
    """Messages claimed, and what became of the receipts in ``ack``."""

    claims: list[MessageClaimed]
    acked: list[ReceiptSettled] = []
    guarantee: Guarantee


class SettleAnswer(Answer, frozen=True, kw_only=True, tag="ok"):
    """One result per receipt, in order."""

    results: list[ReceiptSettled]
    guarantee: Guarantee


class ReceiptAnswer(Answer, frozen=True, kw_only=True, tag="ok"):
    """Whether an ack counted."""

    receipt: str
    outcome: Literal["acked", "leased", "lease_lost", "unknown"]
    guarantee: Guarantee


class GroupShown(Shape, frozen=True, kw_only=True, omit_defaults=False):
    """A consumer group's progress."""

    group: str
    backlog: int
    backlog_more: bool
    """There are more than ``backlog``."""
    in_flight: int
    oldest: str | None
    """Unix seconds of the oldest unsettled message."""
    position: dict[str, str]
    """Partition -> id."""


class GroupList(Answer, frozen=True, kw_only=True, tag="ok"):
    """All groups of a queue."""

    groups: list[GroupShown]
    guarantee: Guarantee


class RedriveAnswer(Answer, frozen=True, kw_only=True, tag="ok"):
    """How many dead letters went back, and how many are left."""

    redriven: int
    remaining: int
