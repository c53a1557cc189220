"""What a row is asked to do: each job judges the state anew as often as the row must be read again."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import msgspec
from msgspec import structs

from common.identifiers import TICKS_PER_MS, MessageId
from common.limits import READ_BYTES_MAX
from storage_node.delivery import moves
from storage_node.delivery import state as states
from storage_node.delivery.candidates import Candidates
from storage_node.delivery.cell import Cell, Place
from storage_node.delivery.lifecycle import Stage
from storage_node.delivery.policy import Judged, LeasePolicy, Policy
from storage_node.delivery.state import Entry, Lease, Run
from storage_node.store.interface import Lane, StoredMessage

AnswerT = TypeVar("AnswerT")


class Verdict(NamedTuple):
    """How far a judgement has come."""

    changed: bool
    """It counts once the state is written."""
    certain: bool
    """May be said from a state that was read before the request came in."""
    early: bool = False
    """It rests on nothing that this round's write must first make true."""


class Job(ABC, Generic[AnswerT]):
    """One request of one row."""

    wanted = 0
    """Messages to look up for it."""
    fresh_within_s: float | None = None
    """The state must have been confirmed so short ago, even for a *yes* that writes nothing."""

    def __init__(self) -> None:
        self.future: asyncio.Future[AnswerT] = asyncio.get_running_loop().create_future()
        self.answer: AnswerT | None = None
        self.deadline_s = 0.0

    def places(self, cell: Cell, now: int) -> Sequence[Place]:
        """Name messages that must be looked up for it."""
        del cell, now
        return ()

    @abstractmethod
    def judge(self, cell: Cell, candidates: Candidates, *, now: int) -> Verdict:
        """Set ``answer`` and move the state."""


class Taken(msgspec.Struct, frozen=True):
    """A message that a claim hands out."""

    lane: Lane
    message: StoredMessage
    deliveries: int
    lease: Lease | None


class ClaimAnswer(NamedTuple):
    """What a claim got from one partition."""

    taken: tuple[Taken, ...]
    blocked: bool
    """``max_in_flight`` kept something back."""
    starved: bool
    """The round looked up too little for all its claims: ask again."""


class ClaimJob(Job[ClaimAnswer]):
    """Collect what the claim_id holds, then fill up to ``limit``."""

    def __init__(
        self,
        policy: Policy,
        *,
        limit: int,
        lease_ms: int,
        label: bytes = b"",
        fresh_within_s: float | None = None,
    ) -> None:
        super().__init__()
        self.wanted = limit
        self.fresh_within_s = fresh_within_s
        self._policy = policy
        self._limit = limit
        self._lease_ms = lease_ms
        self._label = label
        self._tokens: set[bytes] = set()

    def places(self, cell: Cell, now: int) -> Sequence[Place]:
        """Name what its claim_id, or an earlier judgement of it, holds."""
        return self._held(cell, now)

    def _held(self, cell: Cell, now: int) -> list[Place]:
        held = [Place(i, lane) for lane, i in states.held_by(cell.state, self._label, now=now)] if self._label else []
        if self._tokens:
            mine = {
                Place(i, lane)
                for lane, i, entry in cell.state.items()
                if entry.token in self._tokens and entry.stage is Stage.LEASED and entry.until_ticks > now
            }
            held = sorted(mine.union(held))
        return held

    def judge(self, cell: Cell, candidates: Candidates, *, now: int) -> Verdict:
        """Hand out; nothing is certain before the row is written or read, unless it is in this node's memory."""
        if candidates.outdated:
            self.answer = ClaimAnswer((), blocked=False, starved=True)
            return Verdict(changed=False, certain=True)
        found = candidates.found
        taken = [
            self._collected(cell, place, found.messages[place])
            for place in self._held(cell, now)[: self._limit or None]
            if place in found.messages
        ]
        changed = self._fill(cell, candidates, taken, now)
        blocked = candidates.blocked and not taken
        starved = self._limit > 0 and not (taken or blocked) and (candidates.short or not found.complete)
        self.answer = ClaimAnswer(tuple(taken), blocked, starved)
        early = bool(taken) and not changed and all(self._is_held(cell, one) for one in taken)
        return Verdict(changed, certain=bool(taken) or starved, early=early)

    @staticmethod
    def _is_held(cell: Cell, one: Taken) -> bool:
        entry = cell.state.lanes[one.lane].entries.get(one.message.message_id)
        return entry is not None and entry.held

    def _fill(self, cell: Cell, candidates: Candidates, taken: list[Taken], now: int) -> bool:
        size = sum(len(one.message.body) for one in taken)
        until = round_up(now + self._lease_ms * TICKS_PER_MS)
        token, changed = b"", False
        candidates.begin()
        while len(taken) < self._limit and size <= READ_BYTES_MAX:
            place = candidates.next()
            if place is None:
                break
            token = token or cell.new_token()
            one, wrote = self._hand_out(cell, place, candidates.found.messages[place], token, until=until, now=now)
            taken.append(one)
            size += len(one.message.body)
            changed |= wrote
        self._tokens |= {token} if token else set()
        return changed or candidates.changed

    def _collected(self, cell: Cell, place: Place, message: StoredMessage) -> Taken:
        entry = cell.state.lanes[place.lane].entries[place.message_id]
        return _taken(cell, place, message, entry)

    def _hand_out(
        self, cell: Cell, place: Place, message: StoredMessage, token: bytes, *, until: int, now: int
    ) -> tuple[Taken, bool]:
        handed = self._policy.hand_out(
            cell.state, place.lane, place.message_id, until=until, token=token, label=self._label, now=now
        )
        return _taken(cell, place, message, handed.entry), handed.changed


def _taken(cell: Cell, place: Place, message: StoredMessage, entry: Entry | None) -> Taken:
    if entry is None:
        return Taken(place.lane, message, 1, None)
    lease = Lease(place.message_id, place.lane, entry.token, entry.deliveries, cell.state.epoch, entry.until_ticks)
    return Taken(place.lane, message, entry.deliveries, lease)


class Answered(msgspec.Struct, frozen=True):
    """What one receipt is answered."""

    outcome: str
    lease: Lease | None = None
    """After an extension."""


class ReceiptsJob(Job[tuple[Answered, ...]]):
    """Judge receipts; what is done with each is the subclass's."""

    def __init__(self, policy: LeasePolicy, leases: Sequence[Lease]) -> None:
        super().__init__()
        self._policy = policy
        self._leases = leases

    def judge(self, cell: Cell, candidates: Candidates, *, now: int) -> Verdict:
        """Judge each receipt by its token."""
        del candidates
        judged = [self._judge_one(cell, lease, now) for lease in self._leases]
        self.answer = tuple(
            Answered(one.outcome, _extended(lease, one.entry))
            for lease, one in zip(self._leases, judged, strict=True)
        )
        changed = any(one.changed for one in judged)
        return Verdict(changed, certain=all(one.certain or one.changed for one in judged))

    @abstractmethod
    def _judge_one(self, cell: Cell, lease: Lease, now: int) -> Judged:
        """Judge one receipt, and move the state."""


def _extended(lease: Lease, entry: Entry | None) -> Lease | None:
    return structs.replace(lease, until_ticks=entry.until_ticks) if entry is not None else None


class AckJob(ReceiptsJob):
    """Settle."""

    def _judge_one(self, cell: Cell, lease: Lease, now: int) -> Judged:
        return self._policy.ack(cell.state, lease, now=now)


class ReleaseJob(ReceiptsJob):
    """Give back, now or later."""

    def __init__(self, policy: LeasePolicy, leases: Sequence[Lease], *, delay_ms: int) -> None:
        super().__init__(policy, leases)
        self._delay_ms = delay_ms

    def _judge_one(self, cell: Cell, lease: Lease, now: int) -> Judged:
        due = round_up(now + self._delay_ms * TICKS_PER_MS)
        return self._policy.release(cell.state, lease, due=due if self._delay_ms else now, now=now)


class ExtendJob(ReceiptsJob):
    """Hold longer."""

    def __init__(self, policy: LeasePolicy, leases: Sequence[Lease], *, lease_ms: int) -> None:
        super().__init__(policy, leases)
        self._lease_ms = lease_ms

    def _judge_one(self, cell: Cell, lease: Lease, now: int) -> Judged:
        until = round_up(now + self._lease_ms * TICKS_PER_MS)
        return self._policy.extend(cell.state, lease, until=until, now=now)


class AskJob(ReceiptsJob):
    """Say what receipts are worth."""

    def _judge_one(self, cell: Cell, lease: Lease, now: int) -> Judged:
        return self._policy.ask(cell.state, lease, now=now)


class SeekJob(Job[None]):
    """Move the group to another place in this partition."""

    def __init__(self, positions: Sequence[MessageId]) -> None:
        super().__init__()
        self._positions = positions

    def judge(self, cell: Cell, candidates: Candidates, *, now: int) -> Verdict:
        """Begin another epoch."""
        del candidates, now
        cell.install(moves.seek(cell.state, self._positions))
        return Verdict(changed=True, certain=True)


class BuryJob(Job[None]):
    """Settle dead letters that are stored where they go."""

    def __init__(self, epoch: int, places: Sequence[Place]) -> None:
        super().__init__()
        self._epoch = epoch
        self._places = places

    def judge(self, cell: Cell, candidates: Candidates, *, now: int) -> Verdict:
        """Settle those that still wait."""
        del candidates
        changed = False
        for place in self._places if cell.state.epoch == self._epoch else ():
            if states.stage_of(cell.state, place.lane, place.message_id) is Stage.WAITING:
                moves.bury(cell.state, place.lane, place.message_id, now=now)
                changed = True
        return Verdict(changed, certain=False)


class DrainJob(Job[None]):
    """Write the leases of this node's memory into the row."""

    def judge(self, cell: Cell, candidates: Candidates, *, now: int) -> Verdict:
        """Make them part of the stored value."""
        del candidates
        held = [(lane, i, entry) for lane, i, entry in cell.state.items() if entry.held and entry.until_ticks > now]
        for lane, message_id, entry in held:
            states.keep_stored(cell.state, lane, message_id, entry)
        return Verdict(bool(held), certain=True)


class Progress(NamedTuple):
    """How far a group has come in one partition."""

    positions: tuple[MessageId, MessageId]
    in_flight: int
    open_below: int
    """At or below position, neither settled nor leased."""
    closed_above: int
    """Above position, settled or leased, by an entry."""
    runs: tuple[tuple[Run, ...], tuple[Run, ...]]
    """What else is settled above position, by lane."""
    oldest: MessageId | None
    """The lowest unsettled id."""
    available: bool
    """A claim would find something to do."""


class LookJob(Job[Progress]):
    """Look without touching anything."""

    wanted = 1

    def judge(self, cell: Cell, candidates: Candidates, *, now: int) -> Verdict:
        """Read the state and what was looked up."""
        state = cell.state
        new = [p.message_id for p in candidates.found.messages if _is_new(cell, p)]
        unsettled = [i for _, i, entry in state.items() if entry.stage is not Stage.SETTLED]
        leased = [(lane, i) for lane, i, entry in state.items() if _is_leased(entry, now)]
        closed = leased + [(lane, i) for lane, i, entry in state.items() if entry.stage is Stage.SETTLED]
        closed_below = sum(i <= state.lanes[lane].position for lane, i in closed)
        entries_below = sum(i <= state.lanes[lane].position for lane, i, _ in state.items())
        self.answer = Progress(
            positions=(state.lanes[0].position, state.lanes[1].position),
            in_flight=len(leased),
            open_below=entries_below - closed_below,
            closed_above=len(closed) - closed_below,
            runs=(tuple(state.lanes[0].runs), tuple(state.lanes[1].runs)),
            oldest=min([*new, *unsettled], default=None),
            available=candidates.peek(),
        )
        return Verdict(changed=False, certain=False)


def _is_new(cell: Cell, place: Place) -> bool:
    return states.stage_of(cell.state, place.lane, place.message_id) is Stage.NEW


def _is_leased(entry: Entry, now: int) -> bool:
    return entry.stage is Stage.LEASED and entry.until_ticks > now


def round_up(ticks: int) -> int:
    """Round up to whole milliseconds, the unit of times in a row."""
    return -(-ticks // TICKS_PER_MS) * TICKS_PER_MS
