"""Rules of what changes under load, switched off: buckets, queues and names, lives, partitions, dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from common.identifiers import HIGHEST, LOWEST, first_id_at, id_before
from storage_node import queues
from storage_node.delivery import dead_letters
from storage_node.delivery.cell import Cell
from storage_node.delivery.dead_letters import DeadLetters
from storage_node.delivery.groups import Groups
from storage_node.delivery.rows import Rows
from storage_node.log import buckets
from storage_node.log.bounds import BoundsTaker
from storage_node.log.buckets import Buckets
from storage_node.log.fenced import _FencedRound
from storage_node.log.plain_keys import KeyBuckets
from storage_node.log.values import Draft
from storage_node.queues import Queues
from storage_node.store.interface import Fence
from tests.simulation.ablation import ALO, EO, Ablation, instead, of, swapped
from tests.simulation.run import Run

NEVER_S = 1e9


async def _nothing(*_args: object, **_kwargs: object) -> None:
    """It was forgotten."""


async def _all_is_well(*_args: object, **_kwargs: object) -> bool:
    """Nobody looked."""
    return True


# --- buckets --------------------------------------------------------------------------------------------------


def _closed_ignored(run: Run) -> AbstractContextManager[None]:
    kept, append = run.cluster.kept, run.cluster.kept.append_fenced

    async def into_closed(log: Any, bucket: int, messages: Any, **kwargs: Any) -> Any:
        target = kept._buckets(log).get(bucket)
        closed = target.fence if target is not None and target.fence.closed else None
        if target is not None and closed is not None:
            target.fence = Fence(closed.last, False, None)
        answer = await append(log, bucket, messages, **kwargs)
        if target is not None and closed is not None:
            target.fence = closed._replace(last=target.fence.last)
        return answer

    return swapped((kept, "append_fenced", into_closed))


def _roll_without_fence(_: Run) -> AbstractContextManager[None]:
    async def make_current(self: Buckets, log: Any, bucket: int) -> None:
        await self.open(log, bucket, last=LOWEST)

    return swapped((Buckets, "make_current", make_current))


def _announced_at_once(_: Run) -> AbstractContextManager[None]:
    return swapped((buckets, "ANNOUNCED_AHEAD_TICKS", 0))


def _index_for_ever(_: Run) -> AbstractContextManager[None]:
    return swapped((buckets, "INDEX_AGE_S_MAX", NEVER_S))


def _closed_forgotten(_: Run) -> AbstractContextManager[None]:
    return swapped((_FencedRound, "_look_back", _all_is_well))


def _delayed_lane_forgotten(_: Run) -> AbstractContextManager[None]:
    fresh_index = Buckets.fresh_index

    async def horizon(self: BoundsTaker, delayed: Any, now_id: Any, last: Any) -> Any:
        index = await fresh_index(self._tools.buckets, delayed)
        due = [bucket for bucket in index if first_id_at(bucket) <= now_id]
        for bucket in due[:1]:
            await self._tools.store.raise_last(delayed, bucket, last=now_id)
        del last
        return now_id

    return swapped((BoundsTaker, "_horizon", horizon))


def _key_left_behind(_: Run) -> AbstractContextManager[None]:
    return swapped((KeyBuckets, "leave", _nothing))


# --- queues ---------------------------------------------------------------------------------------------------


def _names_for_ever(_: Run) -> AbstractContextManager[None]:
    return swapped((queues, "ROW_AGE_S_MAX", NEVER_S), (Queues, "_outlive_memories", _nothing))


def _made_at_once(_: Run) -> AbstractContextManager[None]:
    return swapped((Queues, "_outlive_memories", _nothing))


def _same_internal_id(run: Run) -> AbstractContextManager[None]:
    return swapped((Queues, "_new_id", lambda _self: b"always the same!"), (run, "_erase", lambda: None))


def _expired_shown(run: Run) -> AbstractContextManager[None]:
    do = run.cluster.do

    def timeless(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        return do(name, args, {**kwargs, "now_ticks": 0} if name in ("list_messages", "read_messages") else kwargs)

    return swapped((run.cluster, "do", timeless), (run, "_erase", lambda: None))


def _key_without_row(run: Run) -> AbstractContextManager[None]:
    return instead(run, "insert_key", lambda *_args, **_kwargs: None)


def _grown_at_end(_: Run) -> AbstractContextManager[None]:
    beginning = Groups.beginning

    async def from_now(self: Groups, queue: Any, partition: int, group: str) -> Any:
        if partition == 1:
            return await beginning(self, queue, partition, group)
        now = id_before(first_id_at(self._clock.now_ticks()))
        return now, now

    return swapped((Groups, "beginning", from_now))


# --- delivery -------------------------------------------------------------------------------------------------


def _leases_not_handed_over(_: Run) -> AbstractContextManager[None]:
    return swapped((Rows, "drain", _nothing))


def _lane_overtakes(_: Run) -> AbstractContextManager[None]:
    return swapped((Cell, "in_order_until", lambda _self: HIGHEST))


def _dead_without_key(_: Run) -> AbstractContextManager[None]:
    dead_letter = dead_letters._dead_letter

    def keyless(*args: Any) -> Draft:
        return msgspec.structs.replace(dead_letter(*args), key=None)

    return swapped((dead_letters, "_dead_letter", keyless))


def _settled_before_it_is_buried(_: Run) -> AbstractContextManager[None]:
    publish = DeadLetters._publish

    async def anyway(self: DeadLetters, row: Any, corpses: Sequence[Any], epoch: int) -> Any:
        await publish(self, row, list(corpses), epoch)
        return [corpse.place for corpse in corpses]

    return swapped((DeadLetters, "_publish", anyway))


def _brought_back_without_key(_: Run) -> AbstractContextManager[None]:
    append = DeadLetters._append

    async def keyless(self: DeadLetters, queue: Any, partition: int, drafts: Sequence[Draft]) -> Any:
        kept = [
            draft if dead_letters.SOURCE_QUEUE in draft.attributes else msgspec.structs.replace(draft, key=None)
            for draft in drafts
        ]
        return await append(self, queue, partition, kept)

    return swapped((DeadLetters, "_append", keyless))


UPHEAVALS: dict[str, Ablation] = {
    "closed_ignored": Ablation(
        "a closed bucket takes nothing more", of(EO, rolls=True, messages=20), _closed_ignored
    ),
    "roll_without_fence": Ablation(
        "the bucket that follows begins above its own name", of(EO, rolls=True, messages=20), _roll_without_fence
    ),
    "announced_at_once": Ablation(
        "a further bucket of a plain log begins long after it is announced",
        of(ALO, rolls=True, messages=20),
        _announced_at_once,
    ),
    "index_for_ever": Ablation(
        "a plain append rests on an index less than D/2 old", of(ALO, rolls=True, messages=20), _index_for_ever
    ),
    "closed_forgotten": Ablation(
        "a retry asks the buckets that were closed lately", of(EO, rolls=True, messages=20), _closed_forgotten
    ),
    "delayed_lane_forgotten": Ablation(
        "the horizon moves in every bucket of the delayed lane that is due",
        of(EO, rolls=True, delays=True, delay_ms=(100, 1_000), messages=20),
        _delayed_lane_forgotten,
    ),
    "key_left_behind": Ablation(
        "a key is given up in the bucket that it leaves", of(ALO, rolls=True, keyed=1.0), _key_left_behind
    ),
    "names_for_ever": Ablation("a queue's row is at most D/2 old", of(ALO, recreate=True), _names_for_ever),
    "made_at_once": Ablation(
        "a queue made again waits until nobody holds the old one", of(ALO, recreate=True), _made_at_once
    ),
    "same_internal_id": Ablation("a queue made again has another id", of(ALO, recreate=True), _same_internal_id),
    "expired_shown": Ablation("what has expired is not shown", of(EO, ttl=True), _expired_shown),
    "key_without_row": Ablation(
        "a key's row says which partition it is in", of(EO, grow=True, keyed=1.0), _key_without_row
    ),
    "grown_at_end": Ablation("a partition added later begins at its start", of(EO, grow=True), _grown_at_end),
    "leases_not_handed_over": Ablation(
        "a draining node writes its leases",
        of(ALO, calm=True, rough=0.0, step_pauses=0.0, lease_s=12.0),
        _leases_not_handed_over,
    ),
    "lane_overtakes": Ablation(
        "a strict partition knows both lanes up to what it gives",
        of(EO, strict=True, delays=True, messages=20, publish_hard=True),
        _lane_overtakes,
    ),
    "dead_without_key": Ablation(
        "a dead letter is published under its key", of(EO, max_deliveries=1, redrive=True), _dead_without_key
    ),
    "settled_before_it_is_buried": Ablation(
        "a message is settled once its dead letter is sure",
        of(EO, max_deliveries=1, redrive=True),
        _settled_before_it_is_buried,
    ),
    "brought_back_without_key": Ablation(
        "a dead letter comes back under its key", of(EO, max_deliveries=1, redrive=True), _brought_back_without_key
    ),
}
