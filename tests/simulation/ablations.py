"""Rules of the design switched off one at a time: a run that does not notice would prove nothing."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import msgspec

from common.identifiers import LOWEST, TICKS_PER_MS, MessageId, first_id_at, id_before, last_id_at
from common.limits import LATE_WINDOW_MS
from storage_node.delivery import exactly_once, groups, moves, service
from storage_node.delivery import state as states
from storage_node.delivery.candidates import Candidates
from storage_node.delivery.cell import Cell
from storage_node.delivery.jobs import AckJob, Answered
from storage_node.delivery.row import Row
from storage_node.log import plain, plain_keys
from storage_node.log.bounds import BoundsTaker
from storage_node.log.clockcheck import ClockCheck
from storage_node.log.outcomes import OUTCOME_UNKNOWN
from storage_node.log.pending import latest_deadline_s
from storage_node.store.interface import Applied
from tests.simulation.ablation import ALO, AMO, EO, Ablation, changed_call, instead, of, swapped
from tests.simulation.run import Run
from tests.simulation.upheaval_ablations import UPHEAVALS
from tests.support.stores import Bucket

D_TICKS = LATE_WINDOW_MS * TICKS_PER_MS


# --- the log --------------------------------------------------------------------------------------------------


def _late_append_counts(_: Run) -> AbstractContextManager[None]:
    return swapped((plain, "is_in_time", lambda _id, _now: True))


def _late_key_counts(_: Run) -> AbstractContextManager[None]:
    return swapped((plain_keys, "is_in_time", lambda _id, _now: True))


def _key_unconfirmed(run: Run) -> AbstractContextManager[None]:
    return instead(run, "confirm_keys", lambda *_args, **_kwargs: True)


def _confirmed_whatever_stands(run: Run) -> AbstractContextManager[None]:
    kept = run.cluster.kept

    def confirm(log: Any, bucket: int, keys: Any, **_kwargs: object) -> bool:
        kept._buckets(log)[bucket].confirmed.update(key.key for key in keys)
        return True

    return instead(run, "confirm_keys", confirm)


def _confirmed_moves(run: Run) -> AbstractContextManager[None]:
    kept, append = run.cluster.kept, run.cluster.kept.append_fenced

    async def forgetting(log: Any, bucket: int, messages: Any, **kwargs: Any) -> Any:
        for key in kwargs["keys"]:
            if key.replaces is not None:
                kept._buckets(log)[bucket].confirmed.discard(key.key)
        return await append(log, bucket, messages, **kwargs)

    return swapped((kept, "append_fenced", forgetting), (plain_keys.KeyBuckets, "known", _nothing_known))


async def _nothing_known(*_: object) -> None:
    """The key's bucket was not asked."""


def _moved_stays(run: Run) -> AbstractContextManager[None]:
    kept, append = run.cluster.kept, run.cluster.kept.append_fenced

    async def keeping(log: Any, bucket: int, messages: Any, **kwargs: Any) -> Any:
        stays = dict(kept._buckets(log).get(bucket, Bucket(LOWEST, 0)).messages)
        answer = await append(log, bucket, messages, **kwargs)
        if isinstance(answer, Applied):
            kept._buckets(log)[bucket].messages.update(stays)
        return answer

    return swapped((kept, "append_fenced", keeping))


def _no_window(_: Run) -> AbstractContextManager[None]:
    return swapped((BoundsTaker, "_window", lambda _self, now: last_id_at(now)))


def _no_fence(run: Run) -> AbstractContextManager[None]:
    return changed_call(run, "append_fenced", {"fenced": False})


def _no_keys(run: Run) -> AbstractContextManager[None]:
    return changed_call(run, "append_fenced", {"keys": ()})


def _one_look(_: Run) -> AbstractContextManager[None]:
    async def fences(_self: BoundsTaker, _live: object, _delayed: object, high: dict[Any, MessageId]) -> object:
        return dict(high)

    return swapped((BoundsTaker, "_fences", fences))


def _no_horizon(_: Run) -> AbstractContextManager[None]:
    async def horizon(_self: BoundsTaker, _delayed: object, now_id: MessageId, _last: MessageId) -> MessageId:
        return now_id

    return swapped((BoundsTaker, "_horizon", horizon))


def _clock_unchecked(run: Run) -> AbstractContextManager[None]:
    for node in run.nodes:
        node.clock.skew_s *= 5
    return swapped((ClockCheck, "sure", lambda _self: True))


def _retried_inside(_: Run) -> AbstractContextManager[None]:
    async def again(self: Any) -> None:
        if not await self.backoff.pause(latest_deadline_s(self.entries)):
            self._fail(OUTCOME_UNKNOWN)

    return swapped((plain._PlainRound, "_again", again))


# --- delivery -------------------------------------------------------------------------------------------------


def _position_at_write(_: Run) -> AbstractContextManager[None]:
    tidy = Row._tidy

    async def late(self: Row) -> None:
        old = last_id_at(self.cell.clock.now_ticks() - D_TICKS)
        for window in self.cell.windows.values():
            window.sure = max(window.sure, min(old, window.seen))
        await tidy(self)

    return swapped((Row, "_tidy", late))


def _rows_unconditional(run: Run) -> AbstractContextManager[None]:
    return swapped((run.cluster, "unconditional", True))


def _token_of_claim(_: Run) -> AbstractContextManager[None]:
    def token(self: Cell) -> bytes:
        self.state.made.add(b"claim!")
        return b"claim!"

    return swapped((Cell, "new_token", token))


def _no_from_memory(_: Run) -> AbstractContextManager[None]:
    answer = Row._answer

    def at_once(self: Row, attempt: Any, *, fresh: bool) -> Any:
        del fresh
        return answer(self, attempt, fresh=True)

    return swapped((Row, "_answer", at_once))


def _read_back_decides(_: Run) -> AbstractContextManager[None]:
    read_back = Row._read_back

    async def deciding(self: Row, attempts: Any, jobs: Any, *, unknown: bool) -> Any:
        proven = await read_back(self, attempts, jobs, unknown=unknown)
        for job in jobs if proven is None and unknown else ():
            if isinstance(job, AckJob) and not job.future.done():
                job.future.set_result(tuple(Answered("lease_lost") for _ in job._leases))
        return proven

    return swapped((Row, "_read_back", deciding))


def _no_epoch(_: Run) -> AbstractContextManager[None]:
    seek = moves.seek

    def same_epoch(state: states.State, positions: Any) -> states.State:
        moved = seek(state, positions)
        moved.epoch -= 1
        return moved

    return swapped((moves, "seek", same_epoch))


def _end_is_now(_: Run) -> AbstractContextManager[None]:
    def place_of(row: Any, partition: int) -> tuple[MessageId, MessageId]:
        del partition
        before = id_before(first_id_at(row.created_ticks))
        return before, before

    return swapped((groups, "place_of", place_of), (service, "place_of", place_of))


def _winner_forgotten(_: Run) -> AbstractContextManager[None]:
    settle = moves.settle

    def plainly(state: states.State, won: states.Lease, *, now: int) -> None:
        settle(state, won, now=now)
        entry = state.lanes[won.lane].entries.get(won.message_id)
        if entry is not None:
            states.place(state, won.lane, won.message_id, msgspec.structs.replace(entry, kept=False))

    def standing(state: states.State, lease: states.Lease, *, now: int) -> states.Standing:
        found = real(state, lease, now=now)
        gone = lease.message_id not in state.lanes[lease.lane].entries and lease.epoch == state.epoch
        return states.Standing.WON if gone and found is states.Standing.OLD else found

    real = states.standing

    return swapped((moves, "settle", plainly), (exactly_once, "standing", standing))


def _no_slack(_: Run) -> AbstractContextManager[None]:
    return swapped((states, "claimable_at", lambda _state, entry: entry.until_ticks))


def _out_before_written(_: Run) -> AbstractContextManager[None]:
    def early(self: Row, attempt: Any) -> Any:
        for one in attempt.judged:
            self._resolve(one)
        return attempt

    return swapped((Row, "_answer_early", early))


def _strict_behind_unseen(_: Run) -> AbstractContextManager[None]:
    return swapped((Candidates, "_first_unseen", lambda _self: None))


def _strict_without_order(_: Run) -> AbstractContextManager[None]:
    return swapped((Cell, "strict", False))


ABLATIONS: dict[str, Ablation] = UPHEAVALS | {
    "late_append_counts": Ablation(
        "a plain append counts only within D/2 of its id's time", of(ALO, publish_hard=True), _late_append_counts
    ),
    "late_key_counts": Ablation(
        "in a plain log a key counts only if its message is seen in time",
        of(ALO, keyed=1.0),
        _late_key_counts,
    ),
    "key_unconfirmed": Ablation(
        "in a plain log a key is confirmed before it is acknowledged", of(ALO, keyed=1.0), _key_unconfirmed
    ),
    "confirmed_whatever_stands": Ablation(
        "a key is confirmed only while it names the id",
        of(ALO, keyed=1.0, publish_hard=True),
        _confirmed_whatever_stands,
    ),
    "confirmed_moves": Ablation("a confirmed key never moves", of(ALO, keyed=1.0), _confirmed_moves),
    "moved_stays": Ablation(
        "the message goes that a moved key named", of(ALO, keyed=1.0, publish_hard=True), _moved_stays
    ),
    "no_window": Ablation("in a plain log nothing younger than D is sure", of(ALO), _no_window),
    "no_fence": Ablation("a fenced append lands above everything before it", of(EO), _no_fence),
    "no_keys": Ablation("a retried append finds its keys", of(EO), _no_keys),
    "one_look": Ablation("a fenced log is sure only up to what was seen before", of(EO), _one_look),
    "no_horizon": Ablation("claims move the delayed lane's horizon", of(EO, delays=True), _no_horizon),
    "clock_unchecked": Ablation("without a good clock no plain append counts", of(ALO), _clock_unchecked),
    "retried_inside": Ablation("at_most_once never retries a publish inside", of(AMO), _retried_inside),
    "position_at_write": Ablation(
        "position rests on a listing's beginning, not on the time of writing",
        of(ALO, messages=20, publish_hard=True, step_pauses=0.0),
        _position_at_write,
    ),
    "rows_unconditional": Ablation(
        "rows are written by compare-and-set under every guarantee", of(ALO, seek=True), _rows_unconditional
    ),
    "token_of_claim": Ablation("a token is made anew for every lease", of(EO), _token_of_claim),
    "no_from_memory": Ablation("no is never said from memory", of(EO), _no_from_memory),
    "read_back_decides": Ablation("a read-back does not answer", of(EO), _read_back_decides),
    "no_epoch": Ablation("a seek begins another epoch", of(ALO, seek=True), _no_epoch),
    "end_is_now": Ablation("a group's end is its time minus D", of(ALO, end=True), _end_is_now),
    "winner_forgotten": Ablation("the winner of a redelivered message is remembered", of(EO), _winner_forgotten),
    "no_slack": Ablation("another node's lease is left D/2 longer", of(EO), _no_slack),
    "out_before_written": Ablation(
        "under at_most_once the row is written before messages leave", of(AMO), _out_before_written
    ),
    "strict_behind_unseen": Ablation(
        "nothing in a strict partition goes out behind what its round did not look up",
        of(EO, strict=True, give_back=True, acks_with_claims=True),
        _strict_behind_unseen,
    ),
    "strict_without_order": Ablation(
        "a strict partition gives to one at a time, in order", of(EO, strict=True), _strict_without_order
    ),
}

NOTICED: dict[str, int] = {
    "brought_back_without_key": 111,
    "closed_forgotten": 3,
    "confirmed_moves": 90,
    "confirmed_whatever_stands": 98,
    "dead_without_key": 2,
    "delayed_lane_forgotten": 6,
    "end_is_now": 212,
    "lane_overtakes": 199,
    "late_key_counts": 34,
    "leases_not_handed_over": 210,
    "made_at_once": 73,
    "no_fence": 11,
    "no_horizon": 194,
    "no_slack": 103,
    "position_at_write": 69,
    "strict_behind_unseen": 293,
}
"""Seeds of those that are not noticed at once, as of the last full search: asked first, so that tests are quick."""
