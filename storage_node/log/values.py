"""What goes into a log and what comes out of it, as values."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from common.identifiers import MessageId
from storage_node.store.interface import Lane, StoredMessage


class Draft(msgspec.Struct, frozen=True):
    """One message to append; it has no id yet."""

    body: bytes
    content_type: str | None = None
    attributes: dict[str, str] = {}
    ttl_s: int | None = None
    """Seconds it is kept, from its due time; ``None``: the queue's."""
    delay_ms: int | None = None
    """``None``: the queue's; 0: live at once."""
    key: str | None = None
    """Stored once per queue under this key, for the message's whole life (a row of its own).  Clients' keys begin
    with ``:``, so what the service itself publishes takes any other first character."""
    attempt: bytes | None = None
    """Stored once per bucket of a fenced log under this key, for the retries of one publish."""


class Listed(NamedTuple):
    """A message of a listing and the lane it is in."""

    lane: Lane
    message: StoredMessage


class Listing(NamedTuple):
    """One walk up a partition: both lanes merged, ascending by id."""

    messages: tuple[Listed, ...]
    began_ticks: int
    """The node's clock before the first read of it."""
    sure_until: dict[Lane, MessageId]
    """Per lane: up to here nothing acknowledged is missing from this listing, and nothing can come to be
    acknowledged later.  Position may move up to here and no further.  Never beyond what the listing covered."""
    seen_until: dict[Lane, MessageId]
    """Per lane: up to here nothing due is missing from this listing that was acknowledged before it began."""
    more: bool
    """The limit ended it: there may be messages after the last one."""
