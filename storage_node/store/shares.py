"""What nodes that share a store tell each other of the bytes that they stored: a row for each node and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable


class Share(NamedTuple):
    """What one node has stored of one application among the messages that have all expired at ``until_s``."""

    member_id: str
    until_s: int
    """Unix seconds."""
    size_bytes: int
    """Bytes of bodies: the whole number, so that writing it again changes nothing."""


@runtime_checkable
class KeepsShares(Protocol):
    """Besides ``Store``, where several nodes use it."""

    async def write_shares(self, application: str, shares: Sequence[Share]) -> None:
        """Write rows over those of the same node and time; each goes by itself after its ``until_s``."""

    async def list_shares(self, application: str, *, now_ticks: int) -> list[Share]:
        """Return the rows of all nodes whose ``until_s`` is to come."""
