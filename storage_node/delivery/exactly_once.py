"""exactly_once (and strict ordering): leases are in the row before the messages leave; only they settle.

Also what the service itself uses where it moves messages between queues.
"""

from __future__ import annotations

from typing import Final

from common.identifiers import MessageId
from storage_node.delivery import moves
from storage_node.delivery.policy import Handed, Judged
from storage_node.delivery.state import Lease, Standing, State, standing
from storage_node.store.interface import Lane

_REFUSALS: Final = {
    Standing.RELEASED: "lease_lost",
    Standing.BEATEN: "lease_lost",
    Standing.LOST: "lease_lost",
    Standing.NOWHERE: "lease_lost",
    Standing.OLD: "unknown",
}


class ExactlyOnce:
    """At most one receipt of a message ever settles it."""

    def hand_out(
        self, state: State, lane: Lane, message_id: MessageId, *, until: int, token: bytes, label: bytes, now: int
    ) -> Handed:
        """Lease it; the row is written before it leaves."""
        del now
        return Handed(moves.lease(state, lane, message_id, until=until, token=token, label=label), changed=True)

    def ack(self, state: State, lease: Lease, *, now: int) -> Judged:
        """Settle while the token stands, however late."""
        found = standing(state, lease, now=now)
        if found is Standing.STANDS:
            moves.settle(state, lease, now=now)
            return Judged("acked", changed=True)
        if found is Standing.WON:
            return Judged("acked", certain=True)
        return Judged(_REFUSALS[found])

    def release(self, state: State, lease: Lease, *, due: int, now: int) -> Judged:
        """Give back while the token stands."""
        found = standing(state, lease, now=now)
        if found is Standing.STANDS:
            moves.release(state, lease, due=due)
            return Judged("released", changed=True)
        if found is Standing.RELEASED:
            return Judged("released")
        return Judged("unknown" if found is Standing.OLD else "lease_lost")

    def extend(self, state: State, lease: Lease, *, until: int, now: int) -> Judged:
        """Hold longer while the token stands."""
        found = standing(state, lease, now=now)
        if found is Standing.STANDS:
            return Judged("extended", changed=True, entry=moves.extend(state, lease, until=until))
        return Judged("unknown" if found is Standing.OLD else "lease_lost")

    def ask(self, state: State, lease: Lease, *, now: int) -> Judged:
        """Say what the receipt is worth."""
        found = standing(state, lease, now=now)
        if found is Standing.WON:
            return Judged("acked", certain=True)
        return Judged("leased" if found is Standing.STANDS else _REFUSALS[found])
