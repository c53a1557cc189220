"""The life of one message in one consumer group: a table of (stage, event) -> stage, and nothing else.

Everything that changes a stage goes through ``after``; ``storage_node/README.md`` draws this table, and a test
compares the two.  The table knows no clock, no bound and no guarantee: whether an event may happen now is judged
elsewhere, what it leads to is said here.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final


class Stage(IntEnum):
    """Where a message is; the numbers are part of the stored form."""

    LEASED = 0
    WAITING = 1
    """Given back (at once or for later), or about to become a dead letter."""
    SETTLED = 2
    NEW = 3
    """Above position, without an entry."""
    PASSED = 4
    """Settled, at or below position, without an entry."""


class Event(StrEnum):
    """What may happen to it."""

    CLAIM = "claim"
    TAKE = "take"
    """Settled as it is claimed (at_most_once), or because it is meant for another group."""
    ACK = "ack"
    RELEASE = "release"
    EXTEND = "extend"
    EXHAUST = "exhaust"
    """Its last allowed delivery was in vain: the lease is over, whatever its holder still says."""
    BURY = "bury"
    """The dead letter is stored (or no queue wants it)."""
    GONE = "gone"
    """Its TTL ended, or it was deleted."""
    PASS = "pass"  # noqa: S105
    """Position went over it, and nobody can still ask for its winner."""
    SEEK_BELOW = "seek below"
    """The group was moved to a place before it."""
    SEEK_BEYOND = "seek beyond"
    """The group was moved to a place behind it."""


NEXT: Final[dict[tuple[Stage, Event], Stage]] = {
    (Stage.NEW, Event.CLAIM): Stage.LEASED,
    (Stage.NEW, Event.TAKE): Stage.SETTLED,
    (Stage.NEW, Event.ACK): Stage.SETTLED,
    (Stage.NEW, Event.RELEASE): Stage.WAITING,
    (Stage.NEW, Event.EXTEND): Stage.LEASED,
    (Stage.NEW, Event.SEEK_BEYOND): Stage.PASSED,
    (Stage.LEASED, Event.CLAIM): Stage.LEASED,
    (Stage.LEASED, Event.ACK): Stage.SETTLED,
    (Stage.LEASED, Event.RELEASE): Stage.WAITING,
    (Stage.LEASED, Event.EXTEND): Stage.LEASED,
    (Stage.LEASED, Event.EXHAUST): Stage.WAITING,
    (Stage.LEASED, Event.GONE): Stage.SETTLED,
    (Stage.LEASED, Event.SEEK_BELOW): Stage.NEW,
    (Stage.LEASED, Event.SEEK_BEYOND): Stage.PASSED,
    (Stage.WAITING, Event.CLAIM): Stage.LEASED,
    (Stage.WAITING, Event.ACK): Stage.SETTLED,
    (Stage.WAITING, Event.RELEASE): Stage.WAITING,
    (Stage.WAITING, Event.EXTEND): Stage.LEASED,
    (Stage.WAITING, Event.EXHAUST): Stage.WAITING,
    (Stage.WAITING, Event.BURY): Stage.SETTLED,
    (Stage.WAITING, Event.GONE): Stage.SETTLED,
    (Stage.WAITING, Event.SEEK_BELOW): Stage.NEW,
    (Stage.WAITING, Event.SEEK_BEYOND): Stage.PASSED,
    (Stage.SETTLED, Event.PASS): Stage.PASSED,
    (Stage.SETTLED, Event.SEEK_BELOW): Stage.NEW,
    (Stage.SETTLED, Event.SEEK_BEYOND): Stage.PASSED,
    (Stage.PASSED, Event.SEEK_BELOW): Stage.NEW,
}
"""``ack``, ``release`` and ``extend`` of a new or waiting message happen under at_least_once alone, where a lease
may be known nowhere any more."""


class IllegalMoveError(ValueError):
    """The table has no such step: a fault in the caller."""

    def __init__(self, stage: Stage, event: Event) -> None:
        super().__init__(f"{stage.name} does not {event}")
        self.stage = stage
        self.event = event


def after(stage: Stage, event: Event) -> Stage:
    """Return the stage that follows.

    Raises:
        IllegalMoveError: the table has no such step.
    """
    try:
        return NEXT[stage, event]
    except KeyError:
        raise IllegalMoveError(stage, event) from None


def drawing() -> str:
    """Return the table as a Mermaid state diagram."""
    arrows: dict[tuple[Stage, Stage], list[str]] = {}
    for (stage, event), then in NEXT.items():
        arrows.setdefault((stage, then), []).append(event.value)
    lines = [f"    {a.name.lower()} --> {b.name.lower()}: {', '.join(events)}" for (a, b), events in arrows.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> new: publish", *lines, "    passed --> [*]"])
