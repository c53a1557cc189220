"""One delivery row as a node holds it in memory, and what it looked up of the log for the requests at hand."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from common.clock import Clock
from common.guarantees import LogKind, Ordering
from common.identifiers import TICKS_PER_MS, TICKS_PER_SECOND, MessageId, id_after
from common.limits import LATE_WINDOW_MS, READ_BYTES_MAX
from storage_node.delivery import moves
from storage_node.delivery import state as states
from storage_node.delivery.lifecycle import Stage
from storage_node.delivery.state import State
from storage_node.delivery.window import Window
from storage_node.log.logs import Logs
from storage_node.store.interface import Lane, QueueRow, StoredMessage

WANTED_MAX: Final = 1_000
"""Messages looked up for one round of a row."""
BODY_BYTES_GUESS: Final = 8_192
"""Bytes of a body, until the row has seen some."""
STEP_TICKS: Final = LATE_WINDOW_MS * TICKS_PER_MS // 20
"""How far a clock may be set forward between two looks before the leases made by it count as another node's."""
PAGE_IDS: Final = 1_000
"""Ids in one page of a listing that only moves position."""


class Place(NamedTuple):
    """A message of a partition."""

    message_id: MessageId
    lane: Lane


class Surveyed(NamedTuple):
    """What was found for a round."""

    messages: dict[Place, StoredMessage]
    gone: set[Place]
    complete: bool
    """The listings reached the end: what is not here is not there."""


class Cell:
    """State, windows and what else is remembered of one row."""

    def __init__(self, queue: QueueRow, partition: int, logs: Logs, *, clock: Clock, rng: random.Random) -> None:
        self.queue = queue
        self.partition = partition
        self.clock = clock
        self.rng = rng
        self.state = State()
        self.windows: Mapping[Lane, Window] = {}
        self.dying: set[Place] = set()
        """Dead letters being published: nobody gets them meanwhile."""
        self._logs = logs
        self._body_bytes = BODY_BYTES_GUESS
        self._lead_ticks = _lead_ticks(clock)

    @property
    def strict(self) -> bool:
        """Is this partition handed out in order?"""
        return self.queue.ordering is Ordering.STRICT

    def install(self, state: State) -> None:
        """Take over a state read from the store, and keep the windows where they still reach down to position."""
        self.state = state
        windows = {}
        for lane in Lane:
            position = state.lanes[lane].position
            window = self.windows.get(lane)
            if window is None or window.began > position:
                window = Window(lane, position)
            window.prune(position)
            window.look_again()
            windows[lane] = window
        self.windows = windows

    def written(self) -> None:
        """The state is in the store: let go of what only an undone attempt would need."""
        self.state.displaced.clear()
        for lane, window in self.windows.items():
            window.prune(self.state.lanes[lane].position)

    def notice_steps(self) -> None:
        """Leave the leases made so far longer where the clock was set forward since the last look."""
        lead_ticks = _lead_ticks(self.clock)
        if lead_ticks - self._lead_ticks > STEP_TICKS:
            states.disown(self.state)
        self._lead_ticks = lead_ticks

    def new_token(self) -> bytes:
        """Make the token of a new lease."""
        token = self.rng.randbytes(states.TOKEN_BYTES)
        if len(self.state.made) > 2 * WANTED_MAX + 2 * len(self.state):
            live = {entry.token for _, _, entry in self.state.items()}
            self.state.made.intersection_update(live)
        self.state.made.add(token)
        return token

    # --- looking things up

    async def survey(self, wanted: int, *, also: Sequence[Place], now: int) -> Surveyed:
        """Look up messages for claims: those that ``also`` names, what may go out again, then new ones."""
        ready, fresh = self._ready(wanted, now), self._fresh(wanted)
        found = await self._fetch([*also, *ready, *fresh])
        gone = {place for place in (*also, *ready, *fresh) if place not in found}
        while gone and (behind := self._behind(wanted, {*found, *gone}, len(gone), now)):
            ready += behind
            found.update(await self._fetch(behind))
            gone.update(place for place in behind if place not in found)
        self._remove(gone)
        missing = wanted if self.strict else wanted - sum(place in found for place in (*ready, *fresh))
        missing = min(missing, max(1, self.queue.max_in_flight - len(self.state)))
        complete = True
        if missing > 0 or self._unsure():
            complete = await self._list_new(max(missing, 1), found)
        return Surveyed(found, gone, complete)

    def _behind(self, wanted: int, known: set[Place], gone: int, now: int) -> list[Place]:
        """Return what may go out again behind messages that are gone; twice as many each time."""
        return [place for place in self._ready(wanted + 2 * gone, now) if place not in known]

    def _ready(self, wanted: int, now: int) -> list[Place]:
        if self.strict:
            unsettled = [Place(i, lane) for lane, i, entry in self.state.items() if entry.stage is not Stage.SETTLED]
            return sorted(unsettled)[:wanted]
        places = [
            Place(message_id, lane)
            for lane in Lane
            for message_id in states.ready_ids(self.state, lane, now=now, limit=wanted + len(self.dying))
        ]
        return [place for place in places if place not in self.dying][:wanted]

    def _fresh(self, wanted: int) -> list[Place]:
        found: list[Place] = []
        for lane, window in self.windows.items():
            for _, message_id in zip(range(wanted), window.fresh(self.state), strict=False):
                found.append(Place(message_id, lane))
        return sorted(found)[:wanted]

    def _unsure(self) -> bool:
        """Must a strict partition look a second time, for what a first look may have missed?"""
        return self.strict and any(window.seen > window.sure for window in self.windows.values())

    def in_order_until(self) -> MessageId:
        """Return up to where both lanes are known, so that one can't overtake the other."""
        return min(window.known_until for window in self.windows.values())

    def _remove(self, gone: Iterable[Place]) -> None:
        for lane, window in self.windows.items():
            missing = [place.message_id for place in gone if place.lane is lane]
            if missing:
                window.remove(missing)

    async def _fetch(self, places: Sequence[Place]) -> dict[Place, StoredMessage]:
        if not places:
            return {}
        wanted = set(places)
        listed = await self._logs.fetch(self.queue, self.partition, sorted({place.message_id for place in places}))
        found = {Place(one.message.message_id, one.lane): one.message for one in listed}
        return {place: message for place, message in found.items() if place in wanted}

    async def _list_new(self, wanted: int, found: dict[Place, StoredMessage]) -> bool:
        """List upwards until so many new ones are found; ``True`` if there are no others."""
        limit = min(wanted, max(1, READ_BYTES_MAX // self._body_bytes))
        fast = {lane: window.seen for lane, window in self.windows.items()}
        new, more = await self._list(fast, limit=limit, found=found)
        while more and new < limit:
            fast = {lane: window.seen for lane, window in self.windows.items()}
            got, more = await self._list(fast, limit=limit, found=found)
            new += got
        if new < limit and (any(low > w.sure for low, w in zip(fast.values(), self.windows.values(), strict=True))):
            await self._look_back(limit - new, found)
        elif self._unsure():
            await self.extend_windows()
        return not more

    async def _look_back(self, wanted: int, found: dict[Place, StoredMessage]) -> None:
        """List once more from where the walk can be trusted: something may have landed late."""
        await self.extend_windows()
        places = [place for place in self._fresh(wanted + len(found)) if place not in found]
        found.update(await self._fetch(places))

    async def _list(
        self, lows: Mapping[Lane, MessageId], *, limit: int, found: dict[Place, StoredMessage] | None
    ) -> tuple[int, bool]:
        began_s = self.clock.monotonic_s()
        listing = await self._logs.listing(
            self.queue,
            self.partition,
            low_by_lane={lane: id_after(low) for lane, low in lows.items()},
            limit=limit,
            bodies=found is not None,
        )
        new = 0
        for lane, low in lows.items():
            ids = [one.message.message_id for one in listing.messages if one.lane is lane]
            new += sum(states.stage_of(self.state, lane, message_id) is Stage.NEW for message_id in ids)
            window = self.windows[lane]
            if low <= window.sure:
                window.known_until = listing.seen_until.get(lane, low)
            window.merge(ids, low=low, sure=listing.sure_until.get(lane, low))
            if low <= window.sure:
                window.listed_s = began_s
        if found is not None:
            self._learn([one.message for one in listing.messages])
            found.update({Place(one.message.message_id, one.lane): one.message for one in listing.messages})
        return new, listing.more

    def _learn(self, messages: Sequence[StoredMessage]) -> None:
        if messages:
            mean = sum(len(message.body) for message in messages) // len(messages)
            self._body_bytes = max(64, (self._body_bytes + mean) // 2)

    async def extend_windows(self) -> None:
        """List ids from where the walk can be trusted up to where it has been, so that it can be trusted further."""
        targets = {lane: self._target(lane) for lane in self.windows}
        lows = {lane: window.sure for lane, window in self.windows.items()}
        more = True
        while more and any(lows[lane] < target for lane, target in targets.items()):
            _, more = await self._list(lows, limit=PAGE_IDS, found=None)
            after = {lane: max(low, self.windows[lane].last_within(PAGE_IDS, low)) for lane, low in lows.items()}
            more = more and after != lows
            lows = after

    def _target(self, lane: Lane) -> MessageId:
        entries = self.state.lanes[lane].entries
        return max([self.windows[lane].seen, *entries])

    def gather_own_run(self) -> None:
        """Keep what is settled of this node's own writer as runs: it knows all of its own ids that were listed."""
        window, writer = self.windows[Lane.LIVE], self._logs.writer
        position = self.state.lanes[Lane.LIVE].position
        if window.began <= position:
            own = [message_id for message_id in window.above(position) if message_id[8:] == writer]
            moves.gather_run(self.state, Lane.LIVE, own)

    @property
    def fenced(self) -> bool:
        """Does position need no time to be sure?"""
        return self.queue.log is LogKind.FENCED


def _lead_ticks(clock: Clock) -> int:
    """How far wall time is ahead of monotonic time: it changes only where the clock is set."""
    return clock.now_ticks() - round(clock.monotonic_s() * TICKS_PER_SECOND)
