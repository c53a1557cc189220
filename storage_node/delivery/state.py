"""The delivery state of one partition and group: a value and the questions it answers; ``moves.py`` changes it.

Words.  A message at or below ``position`` is settled unless it has an *entry*; above it without an entry it is
*new*.  A *run* stands for the settled messages of one writer between two ticks.  A *held* entry is a lease in the
memory of this node: a first delivery that is held is not part of the stored value, and position does not pass it.
A *kept* entry outlives its settling by 10 minutes + D, so that only the receipt that won is told ``acked``.

Whatever a move needs to know beyond the value (which node made a lease, what is in the log) is an argument or in
``made``; the heaps beside the entries are an index, made anew when a value is decoded.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

import msgspec

from common import limits
from common.identifiers import LOWEST, TICKS_PER_MS, MessageId, ticks_of
from storage_node.delivery.lifecycle import Stage
from storage_node.store.interface import Lane

LATE_TICKS: Final = limits.LATE_WINDOW_MS * TICKS_PER_MS
ACK_MEMORY_TICKS: Final = limits.ACK_MEMORY_MS * TICKS_PER_MS
TOKEN_BYTES: Final = 6
LABEL_BYTES: Final = 6
NOBODY: Final = bytes(TOKEN_BYTES)
"""The token of what no receipt can settle."""


class Entry(msgspec.Struct, frozen=True):
    """What is known of one message."""

    stage: Stage
    until_ticks: int
    """The lease's end, the due time, or when it was settled."""
    token: bytes
    deliveries: int
    label: bytes = b""
    """Digest of the claim_id, or empty."""
    kept: bool = False
    held: bool = False


class Run(NamedTuple):
    """All messages of one writer from the first to the last tick are settled."""

    writer: bytes
    first_ticks: int
    last_ticks: int


class Lease(msgspec.Struct, frozen=True):
    """What a receipt says."""

    message_id: MessageId
    lane: Lane
    token: bytes
    delivery: int
    epoch: int
    until_ticks: int


class Standing(Enum):
    """What a receipt is worth."""

    STANDS = "stands"
    RELEASED = "released"
    """This receipt gave it back."""
    WON = "won"
    """This receipt settled it."""
    BEATEN = "beaten"
    """Settled, not by this receipt."""
    LOST = "lost"
    """A newer lease, a release or another epoch."""
    OLD = "old"
    """Nobody can say any more."""
    NOWHERE = "nowhere"
    """Not settled, and this lease is not known here."""


@dataclass(slots=True)
class LaneState:
    """One lane's part."""

    position: MessageId = LOWEST
    entries: dict[MessageId, Entry] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    ready: list[tuple[int, MessageId]] = field(default_factory=list)
    """Heap: when what is leased or waiting becomes claimable.  May hold outdated pairs."""
    passing: list[MessageId] = field(default_factory=list)
    """Heap: settled ids that go when position passes."""
    memory: list[tuple[int, MessageId]] = field(default_factory=list)
    """Heap: until when kept entries are kept."""


@dataclass(slots=True)
class State:
    """The whole value; ``made`` holds the tokens of leases that this node made."""

    epoch: int = 0
    lanes: tuple[LaneState, LaneState] = field(default_factory=lambda: (LaneState(), LaneState()))
    made: set[bytes] = field(default_factory=set)
    again: int = 0
    """Entries that will be, or are, kept after settling."""
    leased: int = 0
    labels: dict[bytes, set[tuple[MessageId, Lane]]] = field(default_factory=dict)
    """Index: what each claim_id holds."""
    displaced: list[tuple[Lane, MessageId, Entry]] = field(default_factory=list)
    """Held leases that moves took the place of since the last write: if that write fails, they still stand."""

    def __len__(self) -> int:
        """Entries and runs: what ``max_in_flight`` bounds."""
        live, delayed = self.lanes
        return len(live.entries) + len(live.runs) + len(delayed.entries) + len(delayed.runs)

    def items(self) -> Iterator[tuple[Lane, MessageId, Entry]]:
        """All entries."""
        for which in Lane:
            for message_id, entry in self.lanes[which].entries.items():
                yield which, message_id, entry


# --- the one place that writes entries ------------------------------------------------------------------------


def place(state: State, lane: Lane, message_id: MessageId, entry: Entry) -> None:
    """Set an entry and index it."""
    part = state.lanes[lane]
    old = part.entries.get(message_id)
    if old is not None:
        _uncount(state, lane, message_id, old)
    part.entries[message_id] = entry
    _count(state, lane, message_id, entry)
    if entry.stage is not Stage.SETTLED:
        heapq.heappush(part.ready, (claimable_at(state, entry), message_id))
    elif entry.kept:
        heapq.heappush(part.memory, (memory_ends(entry), message_id))
    elif message_id > part.position:
        heapq.heappush(part.passing, message_id)
    else:
        drop(state, lane, message_id)


def drop(state: State, lane: Lane, message_id: MessageId) -> None:
    """Forget an entry; what is then true of the message is said by position."""
    old = state.lanes[lane].entries.pop(message_id, None)
    if old is not None:
        _uncount(state, lane, message_id, old)


def keep_stored(state: State, lane: Lane, message_id: MessageId, entry: Entry) -> None:
    """Store a held lease with the next write: nothing that is counted or looked up by changes."""
    state.displaced.append((lane, message_id, entry))
    state.lanes[lane].entries[message_id] = msgspec.structs.replace(entry, held=False)


def _count(state: State, lane: Lane, message_id: MessageId, entry: Entry) -> None:
    if entry.kept or entry.deliveries > 1:
        state.again += _is_again(entry)
    if entry.stage is Stage.LEASED:
        state.leased += 1
        if entry.label:
            state.labels.setdefault(entry.label, set()).add((message_id, lane))


def _uncount(state: State, lane: Lane, message_id: MessageId, entry: Entry) -> None:
    if entry.held:
        state.displaced.append((lane, message_id, entry))
    if entry.kept or entry.deliveries > 1:
        state.again -= _is_again(entry)
    if entry.stage is Stage.LEASED:
        state.leased -= 1
        if entry.label:
            labelled = state.labels[entry.label]
            labelled.discard((message_id, lane))
            if not labelled:
                del state.labels[entry.label]


def _is_again(entry: Entry) -> bool:
    return entry.kept or (entry.deliveries > 1 and entry.stage is not Stage.SETTLED)


def is_volatile(entry: Entry) -> bool:
    """Is this a lease that is in memory only?  Later deliveries are stored with the next write, for their count."""
    return entry.held and entry.deliveries == 1


def claimable_at(state: State, entry: Entry) -> int:
    """When may this node hand it out?  Another node's clock may be fast, so its leases are left D/2 longer."""
    if entry.stage is Stage.LEASED and entry.token not in state.made:
        return entry.until_ticks + LATE_TICKS // 2
    return entry.until_ticks


def disown(state: State) -> None:
    """Leave all leases D/2 longer, as another node's: the clock by which they were made has been set."""
    state.made.clear()
    for lane, message_id, entry in state.items():
        if entry.stage is Stage.LEASED:
            heapq.heappush(state.lanes[lane].ready, (claimable_at(state, entry), message_id))


# --- questions ------------------------------------------------------------------------------------------------


def stage_of(state: State, lane: Lane, message_id: MessageId) -> Stage:
    """Where is this message?"""
    part = state.lanes[lane]
    entry = part.entries.get(message_id)
    if entry is not None:
        return entry.stage
    if message_id <= part.position or (part.runs and in_runs(part.runs, message_id)):
        return Stage.PASSED
    return Stage.NEW


def in_runs(runs: Iterable[Run], message_id: MessageId) -> bool:
    """Is it settled by a run?"""
    ticks, writer = ticks_of(message_id), message_id[8:]
    return any(run.writer == writer and run.first_ticks <= ticks <= run.last_ticks for run in runs)


def ready_ids(state: State, lane: Lane, *, now: int, limit: int) -> list[MessageId]:
    """Return up to ``limit`` ids, oldest claim first, that were handed out before and may be again."""
    part = state.lanes[lane]
    found: dict[MessageId, tuple[int, MessageId]] = {}
    while part.ready and len(found) < limit and part.ready[0][0] <= now:
        pair = heapq.heappop(part.ready)
        if _is_current(state, part, pair):
            found[pair[1]] = pair
    for pair in found.values():
        heapq.heappush(part.ready, pair)
    return list(found)


def next_ready(state: State) -> int | None:
    """When does something that was handed out become claimable?  ``None``: nothing is out."""
    times = []
    for part in state.lanes:
        while part.ready and not _is_current(state, part, part.ready[0]):
            heapq.heappop(part.ready)
        times += [part.ready[0][0]] if part.ready else []
    return min(times, default=None)


def _is_current(state: State, part: LaneState, pair: tuple[int, MessageId]) -> bool:
    entry = part.entries.get(pair[1])
    return entry is not None and entry.stage is not Stage.SETTLED and claimable_at(state, entry) == pair[0]


def may_go_out(state: State, entry: Entry | None, *, bound: int) -> bool:
    """Does ``max_in_flight`` allow one more delivery?  A message that counts as kept already needs no more room."""
    if entry is None:
        return len(state) < bound
    return _is_again(entry) or state.again < bound


def held_by(state: State, label: bytes, *, now: int) -> list[tuple[Lane, MessageId]]:
    """Return what a claim_id holds: its leases that have not ended, in order of ids."""
    return [
        (lane, message_id)
        for message_id, lane in sorted(state.labels.get(label, ()))
        if state.lanes[lane].entries[message_id].until_ticks > now
    ]


def standing(state: State, lease: Lease, *, now: int) -> Standing:
    """Say what a receipt is worth in this state."""
    if lease.epoch != state.epoch:
        return Standing.LOST
    entry = state.lanes[lease.lane].entries.get(lease.message_id)
    if entry is None:
        return _standing_without_entry(state, lease, now)
    if entry.stage is Stage.SETTLED:
        won = entry.token == lease.token if entry.kept else lease.delivery == 1
        return Standing.WON if won else Standing.BEATEN
    if entry.token == lease.token:
        return Standing.STANDS if entry.stage is Stage.LEASED else Standing.RELEASED
    return Standing.LOST if entry.deliveries >= lease.delivery else Standing.NOWHERE


def _standing_without_entry(state: State, lease: Lease, now: int) -> Standing:
    if stage_of(state, lease.lane, lease.message_id) is Stage.NEW:
        return Standing.NOWHERE
    first = lease.delivery == 1 and now <= lease.until_ticks + ACK_MEMORY_TICKS
    return Standing.WON if first else Standing.OLD


def memory_ends(entry: Entry) -> int:
    """Until when a settled entry tells its winner from others."""
    return entry.until_ticks + ACK_MEMORY_TICKS + LATE_TICKS
