"""What request bodies look like, for the document alone; the rules themselves are in ``api.validation``."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from common.guarantees import Consistency, LogKind, Ordering, QueueType
from common.limits import (
    BATCH_MESSAGES_MAX,
    CLAIM_ID_CHARS_MAX,
    CLAIM_LIMIT_DEFAULT,
    CLAIM_LIMIT_MAX,
    IDEMPOTENCY_KEY_CHARS_MAX,
    LEASE_MS_MAX,
    LEASE_MS_MIN,
    LINK_ID_CHARS_MAX,
    MAX_DELIVERIES_MAX,
    MAX_IN_FLIGHT_MAX,
    NAME_PATTERN,
    PARTITION_KEY_CHARS_MAX,
    PARTITIONS_MAX,
    PRINCIPLES_CHARS_MAX,
    TTL_S_MAX,
    TTL_S_MIN,
    WAIT_MS_MAX,
)

Name = Annotated[str, msgspec.Meta(pattern=f"^{NAME_PATTERN}$")]
Partitions = Annotated[int, msgspec.Meta(ge=1, le=PARTITIONS_MAX)]
Ttl = Annotated[int, msgspec.Meta(ge=TTL_S_MIN, le=TTL_S_MAX, description="seconds")]
Delay = Annotated[float, msgspec.Meta(ge=0, le=TTL_S_MAX, description="seconds, up to three decimals")]
Lease = Annotated[
    float, msgspec.Meta(ge=LEASE_MS_MIN / 1000, le=LEASE_MS_MAX / 1000, description="seconds, up to three decimals")
]
Wait = Annotated[float, msgspec.Meta(ge=0, le=WAIT_MS_MAX / 1000, description="seconds, up to three decimals")]
Receipts = Annotated[list[str], msgspec.Meta(max_length=CLAIM_LIMIT_MAX)]


class Input(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A request body; unknown fields are ignored."""


class QueueChange(Input, kw_only=True):
    """What to change of a queue; what is not sent stays."""

    partitions: Partitions | msgspec.UnsetType = msgspec.UNSET
    type: QueueType | msgspec.UnsetType = msgspec.UNSET
    consistency: Consistency | msgspec.UnsetType = msgspec.UNSET
    principles: (
        Annotated[
            str,
            msgspec.Meta(
                max_length=PRINCIPLES_CHARS_MAX,
                description="comma-separated `app:NAME` and `bid:USER@DOMAIN`",
                examples=["app:queuey,bid:ann@example.org"],
            ),
        ]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    ttl: Ttl | msgspec.UnsetType = msgspec.UNSET
    delay: Delay | msgspec.UnsetType = msgspec.UNSET
    lease: Lease | msgspec.UnsetType = msgspec.UNSET
    max_deliveries: Annotated[int, msgspec.Meta(ge=0, le=MAX_DELIVERIES_MAX)] | msgspec.UnsetType = msgspec.UNSET
    dead_letter_queue: str | msgspec.UnsetType = msgspec.UNSET
    ordering: Ordering | msgspec.UnsetType = msgspec.UNSET
    max_in_flight: Annotated[int, msgspec.Meta(ge=1, le=MAX_IN_FLIGHT_MAX)] | msgspec.UnsetType = msgspec.UNSET


class NewQueue(QueueChange, kw_only=True):
    """A queue to make; without a name it gets a random one."""

    queue_name: Name | msgspec.UnsetType = msgspec.UNSET
    log: LogKind | msgspec.UnsetType = msgspec.UNSET


class NewMessage(Input, kw_only=True):
    """One message of a batch."""

    body: Annotated[str, msgspec.Meta(min_length=1)]
    encoding: Literal["base64"] | msgspec.UnsetType = msgspec.UNSET
    partition: Partitions | msgspec.UnsetType = msgspec.UNSET
    partition_key: Annotated[str, msgspec.Meta(max_length=PARTITION_KEY_CHARS_MAX)] | msgspec.UnsetType = (
        msgspec.UNSET
    )
    ttl: Ttl | msgspec.UnsetType = msgspec.UNSET
    delay: Delay | msgspec.UnsetType = msgspec.UNSET
    idempotency_key: Annotated[str, msgspec.Meta(max_length=IDEMPOTENCY_KEY_CHARS_MAX)] | msgspec.UnsetType = (
        msgspec.UNSET
    )
    content_type: str | msgspec.UnsetType = msgspec.UNSET
    attributes: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class Batch(Input, kw_only=True):
    """Messages to publish."""

    messages: Annotated[list[NewMessage], msgspec.Meta(max_length=BATCH_MESSAGES_MAX)]


class ClaimBody(Input, kw_only=True):
    """What to claim; an empty body asks for all defaults."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=CLAIM_LIMIT_MAX)] = CLAIM_LIMIT_DEFAULT
    lease: Lease | msgspec.UnsetType = msgspec.UNSET
    wait: Wait = 0
    group: Name = "default"
    partitions: list[Partitions] | msgspec.UnsetType = msgspec.UNSET
    claim_id: Annotated[str, msgspec.Meta(max_length=CLAIM_ID_CHARS_MAX)] | msgspec.UnsetType = msgspec.UNSET
    ack: Receipts | msgspec.UnsetType = msgspec.UNSET


class AckBody(Input, kw_only=True):
    """Receipts to settle."""

    receipts: Receipts


class ReleaseBody(AckBody, kw_only=True):
    """Receipts to give back."""

    delay: Delay = 0


class ExtensionBody(AckBody, kw_only=True):
    """Receipts to hold longer."""

    lease: Lease | msgspec.UnsetType = msgspec.UNSET


class SeekBody(Input, kw_only=True):
    """Where to move a group."""

    position: Annotated[str, msgspec.Meta(description="`start`, `end`, a time in seconds, or a message id")]


class RedriveBody(Input, kw_only=True):
    """How many dead letters to move; all without a limit."""

    limit: Annotated[int, msgspec.Meta(ge=1)] | msgspec.UnsetType = msgspec.UNSET


class RevocationBody(Input, kw_only=True):
    """One link, or all links below an epoch."""

    link_id: Annotated[str, msgspec.Meta(min_length=1, max_length=LINK_ID_CHARS_MAX)] | msgspec.UnsetType = (
        msgspec.UNSET
    )
    epoch: Annotated[int, msgspec.Meta(ge=0)] | msgspec.UnsetType = msgspec.UNSET
    expires: Annotated[int, msgspec.Meta(ge=0, description="Unix seconds")] | msgspec.UnsetType = msgspec.UNSET
