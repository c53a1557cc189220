"""Which message comes next: what was handed out before and may be again, then what is new."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto
from typing import Final, NamedTuple

from storage_node.delivery import moves
from storage_node.delivery import state as states
from storage_node.delivery.cell import Cell, Place, Surveyed
from storage_node.delivery.lifecycle import Stage
from storage_node.store.interface import StoredMessage

ONLY_GROUP: Final = "only_group"
"""Attribute of a redriven message: the group that failed; the others settle it unseen."""


_HANDED_OUT: Final = frozenset({Stage.LEASED, Stage.WAITING})
_OVER: Final = frozenset({Stage.SETTLED, Stage.PASSED})


class Corpse(NamedTuple):
    """A message delivered as often as it may be."""

    place: Place
    message: StoredMessage
    deliveries: int


class _Fate(Enum):
    GO = auto()
    SKIP = auto()
    GONE = auto()
    UNSEEN = auto()
    DEAD = auto()
    BLOCKED = auto()


_TO_DO: Final = frozenset({_Fate.GO, _Fate.DEAD, _Fate.UNSEEN, _Fate.GONE})


class Candidates:
    """One pass over what a round looked up, shared by all its claims."""

    def __init__(self, cell: Cell, found: Surveyed, group: str, *, now: int) -> None:
        self.cell = cell
        self.found = found
        self.now = now
        self.blocked = False
        """``max_in_flight`` kept something back."""
        self.changed = False
        """Something was settled or ended on the way: the row must be written."""
        self.short = False
        """A strict partition has earlier messages than the round looked up for its claims: they come first."""
        self.corpses: list[Corpse] = []
        self._group = group
        self._state = cell.state
        self._source: Iterator[Place] | None = None
        self._ended = False

    @property
    def outdated(self) -> bool:
        """Was the whole state replaced since (a seek in the same round)?"""
        return self.cell.state is not self._state

    def begin(self) -> None:
        """Begin another claim: a strict partition gives to one at a time."""
        self.changed = False
        if self.cell.strict and not all(self._is_due(entry) for entry in self._unsettled()):
            self._ended = True

    def _unsettled(self) -> Iterator[states.Entry]:
        return (entry for _, _, entry in self._state.items() if entry.stage is not Stage.SETTLED)

    def next(self) -> Place | None:
        """Return the next message that may go out, or ``None``."""
        if self._source is None:
            self._source = iter(self._in_order() if self.cell.strict else self._oldest_first())
        while not self._ended:
            place = next(self._source, None)
            if place is None:
                self._ended = True
                self.short = self.cell.strict and self._first_unseen() is not None
            elif self._admit(place):
                return place
        return None

    def peek(self) -> bool:
        """Is there anything for a claim to do?"""
        self.begin()
        places = self._in_order() if self.cell.strict else self._oldest_first()
        return not self._ended and any(self._fate(place) in _TO_DO for place in places)

    def _oldest_first(self) -> list[Place]:
        before: list[Place] = []
        new: list[Place] = []
        for place in self.found.messages:
            stage = self._stage(place)
            if stage is Stage.NEW:
                new.append(place)
            elif stage in _HANDED_OUT:
                before.append(place)
        before += [place for place in self.found.gone if self._stage(place) in _HANDED_OUT]
        new.sort()
        return before + new

    def _in_order(self) -> list[Place]:
        """Leave out what stands behind something that was not looked up: another job may have settled what did."""
        known = self.cell.in_order_until()
        sure = {lane: min(window.sure, known) for lane, window in self.cell.windows.items()}
        unseen = self._first_unseen()
        return sorted(
            place
            for place in {*self.found.messages, *self.found.gone}
            if (unseen is None or place < unseen)
            and (
                self._stage(place) in _HANDED_OUT
                or (self._stage(place) is Stage.NEW and place.message_id <= sure[place.lane])
            )
        )

    def _first_unseen(self) -> Place | None:
        """Return the first unsettled message that this round did not look up."""
        seen = {*self.found.messages, *self.found.gone}
        unsettled = [Place(i, lane) for lane, i, entry in self._state.items() if entry.stage is not Stage.SETTLED]
        return min((place for place in unsettled if place not in seen), default=None)

    def _stage(self, place: Place) -> Stage:
        return states.stage_of(self._state, place.lane, place.message_id)

    def _admit(self, place: Place) -> bool:
        """Act on what is found; ``True`` if it may go out."""
        fate = self._fate(place)
        if fate is _Fate.GO:
            return True
        if fate is _Fate.BLOCKED:
            self.blocked = True
        elif fate is _Fate.GONE:
            moves.forget(self._state, place.lane, place.message_id, now=self.now)
        elif fate is _Fate.UNSEEN:
            moves.take(self._state, place.lane, place.message_id, now=self.now)
        elif fate is _Fate.DEAD:
            self._end_last_delivery(place)
        self.changed |= fate in (_Fate.GONE, _Fate.UNSEEN, _Fate.DEAD)
        if self.cell.strict and fate in (_Fate.BLOCKED, _Fate.DEAD, _Fate.SKIP):
            self._ended = True
        return False

    def _fate(self, place: Place) -> _Fate:
        entry = self._state.lanes[place.lane].entries.get(place.message_id)
        stage = self._stage(place) if entry is None else entry.stage
        if stage in _OVER or place in self.cell.dying or not self._is_due(entry):
            return _Fate.SKIP
        message = self.found.messages.get(place)
        if message is None:
            return _Fate.GONE if entry is not None and place in self.found.gone else _Fate.SKIP
        if entry is not None and 0 < self.cell.queue.max_deliveries <= entry.deliveries:
            return _Fate.DEAD
        if not states.may_go_out(self._state, entry, bound=self.cell.queue.max_in_flight):
            return _Fate.BLOCKED
        meant_for = message.attributes.get(ONLY_GROUP, self._group)
        return _Fate.GO if entry is not None or meant_for == self._group else _Fate.UNSEEN

    def _is_due(self, entry: states.Entry | None) -> bool:
        return entry is None or states.claimable_at(self._state, entry) <= self.now

    def _end_last_delivery(self, place: Place) -> None:
        deliveries = self._state.lanes[place.lane].entries[place.message_id].deliveries
        moves.exhaust(self._state, place.lane, place.message_id, now=self.now)
        self.corpses.append(Corpse(place, self.found.messages[place], deliveries))
