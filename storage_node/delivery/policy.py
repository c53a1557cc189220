"""What a guarantee decides; ``at_most_once``, ``at_least_once`` and ``exactly_once`` are the three answers."""

from __future__ import annotations

from typing import Protocol

import msgspec

from common.identifiers import MessageId
from storage_node.delivery.state import Entry, Lease, State
from storage_node.store.interface import Lane


class Judged(msgspec.Struct, frozen=True):
    """What a receipt is answered, once what it changed is written."""

    outcome: str
    changed: bool = False
    """The state to be written is another."""
    certain: bool = False
    """May be said from memory; everything else only on the ground of a row read after the request came in."""
    entry: Entry | None = None
    """The lease after an extension."""


class Handed(msgspec.Struct, frozen=True):
    """A message handed out."""

    entry: Entry | None
    """``None``: settled, nothing is leased."""
    changed: bool


class Policy(Protocol):
    """How messages leave."""

    def hand_out(
        self, state: State, lane: Lane, message_id: MessageId, *, until: int, token: bytes, label: bytes, now: int
    ) -> Handed:
        """Hand a message out that the state says may go."""


class LeasePolicy(Policy, Protocol):
    """And what receipts are worth, where there are any."""

    def ack(self, state: State, lease: Lease, *, now: int) -> Judged:
        """Settle, if the receipt may."""

    def release(self, state: State, lease: Lease, *, due: int, now: int) -> Judged:
        """Give back, if the receipt may."""

    def extend(self, state: State, lease: Lease, *, until: int, now: int) -> Judged:
        """Hold longer, if the receipt may."""

    def ask(self, state: State, lease: Lease, *, now: int) -> Judged:
        """Say what the receipt is worth."""
