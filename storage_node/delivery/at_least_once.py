"""at_least_once: leases are in the memory of the node, so a claim writes nothing; acks and releases do.

A lease may be known nowhere, after a crash or when another node took over: then its receipt still counts.  What was
delivered more than once, or must let position pass, is written along with the next ack.
"""

from __future__ import annotations

from typing import Final

from common.identifiers import MessageId
from storage_node.delivery import moves
from storage_node.delivery.policy import Handed, Judged
from storage_node.delivery.state import Lease, Standing, State, standing
from storage_node.store.interface import Lane

_COUNTS: Final = frozenset({Standing.STANDS, Standing.NOWHERE})


class AtLeastOnce:
    """A message is delivered until an ack of it is in the row."""

    def hand_out(
        self, state: State, lane: Lane, message_id: MessageId, *, until: int, token: bytes, label: bytes, now: int
    ) -> Handed:
        """Lease it in memory; it leaves at once."""
        del now
        entry = moves.lease(state, lane, message_id, until=until, token=token, label=label, held=True)
        return Handed(entry, changed=False)

    def ack(self, state: State, lease: Lease, *, now: int) -> Judged:
        """Settle, unless a newer lease, a release or another epoch is known."""
        found = standing(state, lease, now=now)
        if found in _COUNTS:
            moves.settle(state, lease, now=now)
            return Judged("acked", changed=True)
        if found is Standing.WON:
            return Judged("acked", certain=True)
        if found is Standing.BEATEN:
            return Judged("already_acked")
        return Judged("unknown" if found is Standing.OLD else "lease_lost")

    def release(self, state: State, lease: Lease, *, due: int, now: int) -> Judged:
        """Give back; from here on the row knows of it."""
        found = standing(state, lease, now=now)
        if found in _COUNTS:
            moves.release(state, lease, due=due)
            return Judged("released", changed=True)
        if found is Standing.RELEASED:
            return Judged("released")
        return Judged("unknown" if found is Standing.OLD else "lease_lost")

    def extend(self, state: State, lease: Lease, *, until: int, now: int) -> Judged:
        """Hold longer, in memory."""
        found = standing(state, lease, now=now)
        if found in _COUNTS:
            entry = moves.extend(state, lease, until=until, held=True)
            return Judged("extended", certain=found is Standing.STANDS, entry=entry)
        return Judged("unknown" if found is Standing.OLD else "lease_lost")

    def ask(self, state: State, lease: Lease, *, now: int) -> Judged:
        """Say what the receipt is worth."""
        found = standing(state, lease, now=now)
        if found is Standing.WON:
            return Judged("acked", certain=True)
        if found in _COUNTS:
            return Judged("leased")
        return Judged("unknown" if found is Standing.OLD else "lease_lost")
