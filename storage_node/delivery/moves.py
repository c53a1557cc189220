"""The moves of the delivery state: plain functions of a value, its arguments and ``now``.

Each asks the table of ``lifecycle.py`` what follows.  None of them judges whether a caller may: ``state.standing``
and the modules of the guarantees do.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Final

from msgspec import structs

from common.identifiers import MessageId, id_before, ticks_of
from storage_node.delivery.lifecycle import Event, Stage, after
from storage_node.delivery.state import (
    NOBODY,
    Entry,
    Lease,
    Run,
    State,
    drop,
    in_runs,
    is_volatile,
    keep_stored,
    memory_ends,
    place,
    stage_of,
)
from storage_node.store.interface import Lane

HARDEN_BEHIND: Final = 64
"""Settled entries behind a held lease from which on the lease is stored, so that position can move on."""


def lease(
    state: State,
    lane: Lane,
    message_id: MessageId,
    *,
    until: int,
    token: bytes,
    label: bytes = b"",
    held: bool = False,
) -> Entry:
    """Hand it out."""
    old = state.lanes[lane].entries.get(message_id)
    stage = after(stage_of(state, lane, message_id), Event.CLAIM)
    entry = Entry(stage, until, token, old.deliveries + 1 if old else 1, label, bool(old and old.kept), held)
    place(state, lane, message_id, entry)
    return entry


def take(state: State, lane: Lane, message_id: MessageId, *, now: int) -> None:
    """Settle it without a lease."""
    stage = after(stage_of(state, lane, message_id), Event.TAKE)
    place(state, lane, message_id, Entry(stage, now, NOBODY, 1))


def settle(state: State, won: Lease, *, now: int) -> None:
    """Settle it in the name of this receipt, which ``standing`` says may."""
    old = state.lanes[won.lane].entries.get(won.message_id)
    stage = after(stage_of(state, won.lane, won.message_id), Event.ACK)
    deliveries = max(won.delivery, old.deliveries if old else 1)
    kept = deliveries > 1 or bool(old and old.kept)
    place(state, won.lane, won.message_id, Entry(stage, now, won.token, deliveries, kept=kept))


def release(state: State, given: Lease, *, due: int) -> None:
    """Give it back, to be claimed again at ``due``; the same receipt may do so again."""
    old = state.lanes[given.lane].entries.get(given.message_id)
    stage = after(stage_of(state, given.lane, given.message_id), Event.RELEASE)
    entry = Entry(stage, due, given.token, given.delivery, kept=bool(old and old.kept))
    place(state, given.lane, given.message_id, entry)


def extend(state: State, longer: Lease, *, until: int, held: bool = False) -> Entry:
    """Move the lease's end; the token stays, so the older receipt still settles."""
    old = state.lanes[longer.lane].entries.get(longer.message_id)
    stage = after(stage_of(state, longer.lane, longer.message_id), Event.EXTEND)
    label = old.label if old else b""
    entry = Entry(stage, until, longer.token, longer.delivery, label, kept=True, held=held)
    place(state, longer.lane, longer.message_id, entry)
    return entry


def exhaust(state: State, lane: Lane, message_id: MessageId, *, now: int) -> None:
    """End the last delivery: from here on no receipt settles it, so it can become a dead letter."""
    old = state.lanes[lane].entries[message_id]
    place(state, lane, message_id, Entry(after(old.stage, Event.EXHAUST), now, NOBODY, old.deliveries, kept=True))


def bury(state: State, lane: Lane, message_id: MessageId, *, now: int) -> None:
    """Settle what became a dead letter."""
    old = state.lanes[lane].entries[message_id]
    place(state, lane, message_id, Entry(after(old.stage, Event.BURY), now, old.token, old.deliveries, kept=True))


def forget(state: State, lane: Lane, message_id: MessageId, *, now: int) -> None:
    """Settle what is no longer in the log, in the name of its last lease; a receipt that had lost stays lost."""
    old = state.lanes[lane].entries[message_id]
    stage = after(old.stage, Event.GONE)
    if old.stage is Stage.LEASED:
        kept = old.kept or old.deliveries > 1
        place(state, lane, message_id, Entry(stage, now, old.token, old.deliveries, kept=kept))
    else:
        place(state, lane, message_id, Entry(stage, now, NOBODY, old.deliveries, kept=True))


def seek(state: State, positions: Iterable[MessageId]) -> State:
    """Return the state after a move of the whole group: another epoch, no entries, no leases."""
    moved = State(epoch=state.epoch + 1, made=state.made)
    for part, position in zip(moved.lanes, positions, strict=True):
        part.position = position
    return moved


def advance(state: State, lane: Lane, listed: Iterable[MessageId], *, sure_until: MessageId) -> bool:
    """Move position over what has an entry; ``True`` if it moved.

    ``listed`` are, ascending, all ids above position of ONE walk through the store that began at or below
    position; ``sure_until`` is how far that walk can be trusted to have missed nothing.
    """
    part = state.lanes[lane]
    reached = max(sure_until, part.position)
    for message_id in listed:
        if message_id > reached:
            break
        if message_id > part.position and not _is_passable(state, lane, message_id):
            reached = max(id_before(message_id), part.position)
            break
    if reached == part.position:
        return False
    part.position = reached
    _pass(state, lane)
    return True


def _is_passable(state: State, lane: Lane, message_id: MessageId) -> bool:
    entry = state.lanes[lane].entries.get(message_id)
    if entry is None:
        return stage_of(state, lane, message_id) is not Stage.NEW
    if is_volatile(entry):
        return harden(state, lane, message_id, entry)
    return True


def harden(state: State, lane: Lane, message_id: MessageId, entry: Entry) -> bool:
    """Make a held lease part of the stored value if much that is settled waits behind it."""
    if len(state.lanes[lane].passing) < HARDEN_BEHIND:
        return False
    keep_stored(state, lane, message_id, entry)
    return True


def _pass(state: State, lane: Lane) -> None:
    part = state.lanes[lane]
    while part.passing and part.passing[0] <= part.position:
        message_id = heapq.heappop(part.passing)
        entry = part.entries.get(message_id)
        if entry is not None and entry.stage is Stage.SETTLED and not entry.kept:
            after(entry.stage, Event.PASS)
            drop(state, lane, message_id)
    reached = ticks_of(part.position)
    if part.runs:
        part.runs = [run for run in part.runs if run.last_ticks >= reached]


def sweep(state: State, *, now: int) -> None:
    """Let go of settled entries whose winner was remembered long enough."""
    for lane in Lane:
        part = state.lanes[lane]
        while part.memory and part.memory[0][0] <= now:
            due, message_id = heapq.heappop(part.memory)
            entry = part.entries.get(message_id)
            if entry is not None and entry.stage is Stage.SETTLED and entry.kept and memory_ends(entry) == due:
                place(state, lane, message_id, structs.replace(entry, kept=False))


def gather_run(state: State, lane: Lane, own: Iterable[MessageId]) -> None:
    """Replace settled entries by runs.

    ``own`` are, ascending, all ids of one writer that a listing made by that writer's node holds above position, up
    to an id below which that node has no append undecided: so between two neighbours there is nothing else of it.
    """
    part = state.lanes[lane]
    streak: list[MessageId] = []
    for message_id in own:
        if _is_foldable(part.entries.get(message_id)) or in_runs(part.runs, message_id):
            streak.append(message_id)
        else:
            _fold(state, lane, streak)
            streak = []
    _fold(state, lane, streak)


def _is_foldable(entry: Entry | None) -> bool:
    return entry is not None and entry.stage is Stage.SETTLED and not entry.kept


def _fold(state: State, lane: Lane, streak: list[MessageId]) -> None:
    if len(streak) < 2:
        return
    part = state.lanes[lane]
    run = Run(streak[0][8:], ticks_of(streak[0]), ticks_of(streak[-1]))
    within = [
        r
        for r in part.runs
        if r.writer == run.writer and r.last_ticks >= run.first_ticks and r.first_ticks <= run.last_ticks
    ]
    first = min([run.first_ticks, *(r.first_ticks for r in within)])
    last = max([run.last_ticks, *(r.last_ticks for r in within)])
    part.runs = [r for r in part.runs if r not in within] + [Run(run.writer, first, last)]
    for message_id in streak:
        drop(state, lane, message_id)


def adopt_held(state: State, before: State) -> None:
    """Carry the leases in this node's memory over to a state read from the store, where they still stand."""
    if before.epoch != state.epoch:
        return
    for lane, message_id, entry in [*before.items(), *before.displaced]:
        if entry.held and entry.stage is Stage.LEASED and _still_stands(state, lane, message_id, entry):
            place(state, lane, message_id, entry)


def _still_stands(state: State, lane: Lane, message_id: MessageId, entry: Entry) -> bool:
    stored = state.lanes[lane].entries.get(message_id)
    if stored is None:
        return stage_of(state, lane, message_id) is Stage.NEW
    if stored.stage is Stage.SETTLED:
        return False
    same = stored.stage is Stage.LEASED and stored.token == entry.token
    return same or entry.deliveries > stored.deliveries
