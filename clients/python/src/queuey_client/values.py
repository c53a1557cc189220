"""What the calls take and give."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to publish.  ``ttl`` and ``delay`` in seconds; the key makes its retries one publish."""

    body: str | bytes
    partition: int | None = None
    partition_key: str | None = None
    ttl: int | None = None
    delay: float | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str = field(default_factory=lambda: uuid.uuid4().hex)

    def to_json(self) -> dict[str, Json]:
        """Return the item of a batch."""
        item: dict[str, Json] = {"idempotency_key": self.idempotency_key}
        if isinstance(self.body, bytes):
            item |= {"body": base64.b64encode(self.body).decode(), "encoding": "base64"}
        else:
            item["body"] = self.body
        optional = {"partition": self.partition, "partition_key": self.partition_key, "ttl": self.ttl}
        item |= {name: value for name, value in optional.items() if value is not None}
        if self.delay is not None:
            item["delay"] = self.delay
        if self.attributes:
            item["attributes"] = dict(self.attributes)
        return item


@dataclass(frozen=True, slots=True)
class Published:
    """Where a message went."""

    message_id: str
    partition: int
    timestamp: Decimal


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it is read; ``timestamp`` in Unix seconds, exact to 100 ns."""

    message_id: str
    partition: int
    timestamp: Decimal
    body: bytes
    content_type: str | None
    attributes: Mapping[str, str]

    @property
    def text(self) -> str:
        """The body as text.

        Raises:
            UnicodeDecodeError: it is not UTF-8.
        """
        return self.body.decode()


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a read; ``next`` is the cursor that goes on from here, without a gap."""

    messages: tuple[Message, ...]
    next: str
    complete_until: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Claim:
    """A message handed out.  ``receipt`` is ``None`` under at_most_once: there is nothing to ack."""

    message: Message
    deliveries: int
    receipt: str | None
    lease_until: Decimal | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a receipt: ``acked``, ``already_acked``, ``released``, ``extended``, ``leased``, ``lease_lost``
    or ``unknown``; after an extension the receipt to use from now on."""

    receipt: str
    outcome: str
    new_receipt: str | None = None
    lease_until: Decimal | None = None
