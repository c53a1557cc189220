"""One runner per row: it folds what arrives while a write is under way into the next compare-and-set.

A round takes all jobs there are, judges them against the state, and writes once.  *Not applied* or *unknown*: the
row is read again at serial consistency and every job is judged anew; only a row that shows exactly the version of an
attempt proves that attempt.  A *no* is said only from a row that was read, or written, after the jobs came in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple, TypeAlias, TypeVar

from common.identifiers import MessageId
from common.limits import LATE_WINDOW_MS, REQUEST_DEADLINE_MS
from common.protocol.failures import Code, FailureError, refuse
from storage_node.delivery import moves
from storage_node.delivery.candidates import Candidates, Corpse
from storage_node.delivery.cell import WANTED_MAX, Cell, Surveyed
from storage_node.delivery.encoding import decode, encode
from storage_node.delivery.jobs import ClaimAnswer, Job, Verdict
from storage_node.delivery.state import State
from storage_node.delivery.vigil import Vigil
from storage_node.store.errors import StoreError, StoreUnknownError
from storage_node.store.interface import DeliveryRow, Lane, QueueRow, Store

AnswerT = TypeVar("AnswerT")
Jobs: TypeAlias = "Sequence[Job[object]]"

LIST_AGAIN_S: Final = LATE_WINDOW_MS / 4 / 1000
"""Seconds between two listings that only let position move."""
GATHER_FROM = 64
"""Entries from which on settled ids of this node's own writer are kept as runs."""
RETRY_S_FIRST: Final = 0.01
RETRY_S_MAX: Final = 0.5
NOTHING: Final = Surveyed({}, set(), complete=True)


class RowKey(NamedTuple):
    """Which row it is."""

    queue_id: bytes
    partition: int
    group: str


class _Judged(NamedTuple):
    job: Job[object]
    verdict: Verdict
    answer: object


class _Attempt(NamedTuple):
    judged: list[_Judged]
    corpses: list[Corpse]


class Row:
    """The row of one group in one partition."""

    def __init__(
        self,
        key: RowKey,
        cell: Cell,
        *,
        store: Store,
        start: Callable[[QueueRow, int, str], Awaitable[tuple[MessageId, MessageId]]],
        on_corpses: Callable[[Row, list[Corpse]], None],
        vigil: Vigil,
    ) -> None:
        self.key = key
        self.cell = cell
        self.vigil = vigil
        self.used_s = cell.clock.monotonic_s()
        self._store = store
        self._start = start
        self._on_corpses = on_corpses
        self._pending: list[Job[object]] = []
        self._task: asyncio.Task[None] | None = None
        self._version: bytes | None = None
        self._known = False
        """Does the state in memory stand on a row that was read or written?"""
        self._confirmed_s = 0.0

    @property
    def busy(self) -> bool:
        """Is a round under way or about to be?"""
        return self._task is not None or bool(self._pending)

    @property
    def holds_leases(self) -> bool:
        """Are there leases that only this memory knows?"""
        now = self.cell.clock.now_ticks()
        return any(entry.held and entry.until_ticks > now for _, _, entry in self.cell.state.items())

    def submit(
        self, queue: QueueRow, job: Job[AnswerT], *, deadline_s: float | None = None
    ) -> asyncio.Future[AnswerT]:
        """Put a job into the next round, to be done by a monotonic time; the future may be cancelled."""
        if queue.version >= self.cell.queue.version:
            self.cell.queue = queue
        self.used_s = self.cell.clock.monotonic_s()
        latest_s = self.used_s + REQUEST_DEADLINE_MS / 1000
        job.deadline_s = latest_s if deadline_s is None else min(deadline_s, latest_s)
        self._pending.append(job)  # type: ignore[arg-type]
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        return job.future

    async def _run(self) -> None:
        try:
            while self._pending:
                jobs = [job for job in self._pending if not job.future.done()]
                self._pending = []
                await self._round(jobs)
        except asyncio.CancelledError:
            _fail(self._pending, _interrupted())
            self._pending = []
            raise
        finally:
            self._task = asyncio.get_running_loop().create_task(self._run()) if self._pending else None
            self.vigil.rearm(self.cell)

    async def _round(self, jobs: Jobs) -> None:
        try:
            await self._serve(jobs)
        except (FailureError, StoreError, ValueError) as error:
            _fail(jobs, error)
        finally:
            kept = {id(job) for job in self._pending}
            _fail([job for job in jobs if id(job) not in kept], _interrupted())

    async def _serve(self, jobs: Jobs) -> None:
        fresh = await self._make_ready(jobs)
        attempts: dict[bytes, _Attempt] = {}
        doubtful: list[_Attempt] = []
        unknown = False
        while jobs:
            self._give_up(jobs, unknown=unknown)
            with _honest(unknown=unknown):
                attempt = await self._judge(_waited_for(jobs))
            if any(one.verdict.changed for one in attempt.judged):
                attempt, base = self._answer_early(attempt), self._version
                try:
                    with _honest(unknown=unknown):
                        applied = await self._write(attempt, attempts)
                except StoreUnknownError:
                    applied, unknown = False, True
                    doubtful.append(attempt)
                proven = attempt if applied else await self._read_back(attempts, jobs, unknown=unknown)
                fresh = True
                if proven is not None:
                    self._finish(proven)
                    return
                if self._version != base:
                    _fail(_may_have_settled(doubtful), _outcome_unknown())
                    doubtful.clear()
                jobs = _waited_for(jobs)
                continue
            jobs = self._answer(attempt, fresh=fresh)
            if jobs:
                with _honest(unknown=unknown):
                    await self._reload()
                fresh = True

    # --- the state in memory

    async def _make_ready(self, jobs: Jobs) -> bool:
        """Have a state to judge against; ``True`` if it was read just now."""
        age_s = self.cell.clock.monotonic_s() - self._confirmed_s
        stale = any(job.fresh_within_s is not None and age_s > job.fresh_within_s for job in jobs)
        if self._known and not stale:
            return False
        await self._reload()
        return True

    async def _reload(self) -> None:
        key, began_s = self.key, self.cell.clock.monotonic_s()
        row = await self._store.read_delivery(self.cell.queue.queue_id, key.partition, key.group)
        version = row.version if row is not None else None
        if not self._known or version != self._version:
            await self._install(row)
        self._confirmed_s = began_s

    async def _install(self, row: DeliveryRow | None) -> None:
        before = self.cell.state
        state = decode(row.state, before.made) if row is not None else await self._beginning(before.made)
        moves.adopt_held(state, before)
        self.cell.install(state)
        self._version = row.version if row is not None else None
        self._known = True

    async def _beginning(self, made: set[bytes]) -> State:
        state = State(made=made)
        positions = await self._start(self.cell.queue, self.key.partition, self.key.group)
        for part, position in zip(state.lanes, positions, strict=True):
            part.position = position
        return state

    # --- judging

    async def _judge(self, jobs: Jobs) -> _Attempt:
        cell = self.cell
        cell.state.displaced.clear()
        cell.notice_steps()
        moves.sweep(cell.state, now=cell.clock.now_ticks())
        wanted = min(sum(job.wanted for job in jobs), WANTED_MAX)
        if wanted and len(cell.state) >= cell.queue.max_in_flight:
            await self._tidy()
        now = cell.clock.now_ticks()
        also = [place for job in jobs for place in job.places(cell, now)]
        found = await cell.survey(wanted, also=also, now=now) if wanted or also else NOTHING
        now = cell.clock.now_ticks()
        candidates = Candidates(cell, found, self.key.group, now=now)
        judged = [_Judged(job, job.judge(cell, candidates, now=now), job.answer) for job in _waited_for(jobs)]
        return _Attempt(judged, candidates.corpses)

    def _answer(self, attempt: _Attempt, *, fresh: bool) -> Jobs:
        """Answer what needs no write; return the jobs whose *no* needs a row that is read now."""
        later = [one.job for one in attempt.judged if not (fresh or one.verdict.certain)]
        for one in attempt.judged:
            if fresh or one.verdict.certain:
                self._resolve(one)
        return later

    def _answer_early(self, attempt: _Attempt) -> _Attempt:
        """Answer what needs no write, beside others that do."""
        for one in attempt.judged:
            if one.verdict.early:
                self._resolve(one)
        return attempt._replace(judged=[one for one in attempt.judged if not one.verdict.early])

    def _finish(self, attempt: _Attempt) -> None:
        for one in attempt.judged:
            self._resolve(one)
        if attempt.corpses:
            self.cell.dying.update(corpse.place for corpse in attempt.corpses)
            self._on_corpses(self, attempt.corpses)

    def _resolve(self, one: _Judged) -> None:
        if isinstance(one.answer, ClaimAnswer) and one.answer.starved:
            self._pending.insert(0, one.job)
        elif not one.job.future.done():
            one.job.future.set_result(one.answer)

    def _give_up(self, jobs: Jobs, *, unknown: bool) -> None:
        now_s = self.cell.clock.monotonic_s()
        late = [job for job in jobs if job.deadline_s <= now_s]
        _fail(late, _outcome_unknown() if unknown else _too_slow())

    # --- writing

    async def _tidy(self) -> None:
        """Move position as far as listings allow, reading one more if it is time."""
        cell = self.cell
        if self._wants_listing():
            with suppress(FailureError, StoreError):
                await cell.extend_windows()
        for lane, window in cell.windows.items():
            position = cell.state.lanes[lane].position
            if window.began <= position:
                moves.advance(cell.state, lane, window.above(position), sure_until=window.sure)
        if not cell.fenced and len(cell.state.lanes[Lane.LIVE].entries) >= GATHER_FROM:
            cell.gather_own_run()

    def _wants_listing(self) -> bool:
        now_s = self.cell.clock.monotonic_s()
        for lane, window in self.cell.windows.items():
            behind = any(message_id > window.sure for message_id in self.cell.state.lanes[lane].passing[:1])
            if behind and (window.listed_s is None or now_s - window.listed_s >= LIST_AGAIN_S):
                return True
        return False

    async def _write(self, attempt: _Attempt, attempts: dict[bytes, _Attempt]) -> bool:
        """Write the state once, on the version it stands on; whatever comes of it, it is known no more until read."""
        cell, key = self.cell, self.key
        await self._tidy()
        row = DeliveryRow(cell.rng.randbytes(16), encode(cell.state))
        attempts[row.version] = attempt
        self._known = False
        began_s = cell.clock.monotonic_s()
        applied = await self._store.swap_delivery(
            cell.queue.queue_id, key.partition, key.group, expected=self._version, row=row
        )
        if applied:
            self._version, self._known, self._confirmed_s = row.version, True, began_s
            cell.written()
        return applied

    async def _read_back(self, attempts: dict[bytes, _Attempt], jobs: Jobs, *, unknown: bool) -> _Attempt | None:
        """Read the row again; the attempt that it shows, if it is one of ours."""
        pause_s = RETRY_S_FIRST
        while any(not job.future.done() for job in jobs):
            try:
                await self._reload()
            except StoreError:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_S_MAX)
                self._give_up(jobs, unknown=unknown)
            else:
                return attempts.get(self._version) if self._version is not None else None
        return None


def _waited_for(jobs: Jobs) -> Jobs:
    """Leave out what nobody waits for any more: nothing may be handed out to it."""
    return [job for job in jobs if not job.future.done()]


def _may_have_settled(attempts: Sequence[_Attempt]) -> Jobs:
    """Return claims that may have settled messages in attempts of which nobody can tell any more what became.

    Only at_most_once hands out without a lease; what it took is lost then, and no other messages may hide it.
    """
    judged = [one for attempt in attempts for one in attempt.judged]
    return [
        one.job
        for one in judged
        if isinstance(one.answer, ClaimAnswer) and any(taken.lease is None for taken in one.answer.taken)
    ]


def _fail(jobs: Jobs, error: Exception) -> None:
    for job in jobs:
        if not job.future.done():
            job.future.set_exception(error)


@contextmanager
def _honest(*, unknown: bool) -> Iterator[None]:
    """After a write of unknown outcome no failure of a later step says that nothing was done."""
    try:
        yield
    except StoreUnknownError:
        raise
    except StoreError:
        if unknown:
            raise _outcome_unknown() from None
        raise


def _outcome_unknown() -> FailureError:
    return refuse(Code.OUTCOME_UNKNOWN, "store", "The store did not say whether it was done.")


def _too_slow() -> FailureError:
    return refuse(Code.STORE_UNAVAILABLE, "store", "The store was too slow; nothing was done.", 1_000)


def _interrupted() -> FailureError:
    return refuse(Code.OUTCOME_UNKNOWN, "storage_node", "The storage node stopped in the middle.")
