"""at_most_once: a claim settles in the row before the messages leave; there is no lease and no ack."""

from __future__ import annotations

from common.identifiers import MessageId
from common.protocol.failures import Code, FailureError, refuse
from storage_node.delivery import moves
from storage_node.delivery.policy import Handed
from storage_node.delivery.state import State
from storage_node.store.interface import Lane


class AtMostOnce:
    """No message leaves twice for a group."""

    def hand_out(
        self, state: State, lane: Lane, message_id: MessageId, *, until: int, token: bytes, label: bytes, now: int
    ) -> Handed:
        """Settle it; the row is written before it leaves."""
        del until, token, label
        moves.take(state, lane, message_id, now=now)
        return Handed(None, changed=True)


def not_leased() -> FailureError:
    """Make the refusal of receipts under at_most_once."""
    return refuse(Code.NOT_LEASED, "receipts", "Under at_most_once messages are settled as they are claimed.")
