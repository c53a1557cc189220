"""Who may do what with a queue: pure functions of the caller, the queue's row and now.

A request is allowed if one of its principals is, or if its link grants the operation.  A link never grants more than
the application itself has: where the application may not read, its links may not either.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

from common.guarantees import QueueType
from common.principals import BadPrincipalError, application_principal, parse_principals
from common.protocol.operations import Caller, LinkGrant
from storage_node.store.interface import QueueRow, RevocationRow


class Right(Enum):
    """What an operation needs."""

    OWN = "own"
    """Create, change, drop and list queues, write by id, seek, redrive, revoke: the application alone."""
    PUBLISH = "publish"
    """The application, or a link for it."""
    READ = "read"
    """The listed principals; without a list the application; everyone where the queue is public."""
    DELETE = "delete"
    """As ``READ``, but a public queue does not open it."""
    CLAIM = "claim"
    """As ``DELETE``, for everything that consumes."""


LINK_OPERATION: Final[dict[Right, str]] = {
    Right.PUBLISH: "publish",
    Right.READ: "read",
    Right.DELETE: "delete",
    Right.CLAIM: "claim",
}
"""The word in a link that grants a right; what is not here no link grants."""


class Revoked(NamedTuple):
    """An application's revocations."""

    links: frozenset[str] = frozenset()
    epoch: int = 0
    """Links of an earlier epoch are revoked."""


def revoked_of(rows: Sequence[RevocationRow]) -> Revoked:
    """Sum up the rows of one application."""
    links = frozenset(row.link_id for row in rows if row.link_id)
    return Revoked(links, max((row.epoch for row in rows if not row.link_id), default=0))


def is_owner(application: str, caller: Caller) -> bool:
    """Is it the application itself?"""
    return application_principal(application) in caller.principals


def is_allowed(right: Right, caller: Caller, row: QueueRow) -> bool:
    """May one of the caller's principals do this?  Its link is another question."""
    if right is Right.READ and row.type is QueueType.PUBLIC:
        return True
    if right in (Right.OWN, Right.PUBLISH) or row.principles is None:
        return is_owner(row.application, caller)
    listed = listed_principals(row.principles)
    return any(principal in listed for principal in caller.principals)


def is_granted(right: Right, link: LinkGrant, row: QueueRow, *, now_ms: int, revoked: Revoked) -> bool:
    """Does the link grant this, now, on this queue, and has the application itself the right?"""
    word = LINK_OPERATION.get(right)
    if word is None or word not in link.operations or not link_names(link, row.name):
        return False
    if not is_live(link, now_ms=now_ms, revoked=revoked):
        return False
    return is_allowed(right, Caller(principals=(application_principal(row.application),)), row)


def is_live(link: LinkGrant, *, now_ms: int, revoked: Revoked) -> bool:
    """Has the link neither expired nor been revoked?"""
    return now_ms < link.expires_ms and link.link_id not in revoked.links and link.epoch >= revoked.epoch


def link_names(link: LinkGrant, queue: str) -> bool:
    """Is the queue in the link's scope?"""
    return queue.startswith(link.queue) if link.prefix else queue == link.queue


def listed_principals(principles: str) -> frozenset[str]:
    """Return the principals of a queue's list; a list that can't be read names nobody."""
    try:
        return frozenset(parse_principals(principles))
    except BadPrincipalError:
        return frozenset()
