"""Erasing what deleted and purged queues left behind: bounded steps that a crash only repeats.

An internal id is remembered before its queue is removed, *unsure*; only when the removal is known to be applied, or
is long decided and the queue has another id, are its data touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, NamedTuple

import msgspec

from common.clock import Clock
from common.identifiers import TICKS_PER_SECOND, QueueId
from storage_node.store.cql.session import CqlSession
from storage_node.store.cql.statements import LIFETIMES
from storage_node.store.interface import GroupRow, QueueRow

SHARDS: Final = 16
PARTITIONS_PER_STEP: Final = 8
"""Partitions of a queue that one step erases: a few dozen deletes."""
DECIDED_AFTER_TICKS: Final = 60 * TICKS_PER_SECOND
_PER_SHARD: Final = 20

_DECODER: Final = msgspec.json.Decoder(QueueRow)
_GROUP_DECODER: Final = msgspec.json.Decoder(GroupRow)

Stands = Callable[[QueueRow], Awaitable[bool]]


class _Erasure(NamedTuple):
    queue_id: QueueId
    is_sure: bool
    since: int
    row: bytes | None
    """``None``: another node ended the erasure while this one noted how far it had come."""
    partition: int | None


class Erasures:
    """The internal ids that were given up."""

    def __init__(self, session: CqlSession, *, clock: Clock, is_home: Callable[[str], bool] = lambda _: True) -> None:
        self._is_home = is_home
        self._session = session
        self._clock = clock
        self._shard = 0

    async def consider(self, row: QueueRow) -> None:
        """Remember an id whose queue is about to be removed."""
        await self._write(row, is_sure=False)

    async def decide(self, row: QueueRow) -> None:
        """Remember an id that no queue has any more."""
        await self._write(row, is_sure=True)

    async def step(self, stands: Stands) -> int:
        """Erase a bounded part; return 1 if more may be left, else 0."""
        for number in range(SHARDS):
            shard = (self._shard + number) % SHARDS
            rows = await self._session.read("list_erasures", shard, _PER_SHARD)
            for erasure in [_Erasure(*row) for row in rows]:
                if erasure.row is None:
                    await self._session.write("end_erasure", shard, erasure.queue_id)
                elif await self._is_due(erasure, _DECODER.decode(erasure.row), stands):
                    await self._erase(shard, erasure, _DECODER.decode(erasure.row))
                    self._shard = shard
                    return 1
        return 0

    async def _write(self, row: QueueRow, *, is_sure: bool) -> None:
        values = (row.queue_id, is_sure, self._clock.now_ticks(), msgspec.json.encode(row))
        await self._session.write("write_erasure", _shard(row.queue_id), *values)

    async def _is_due(self, erasure: _Erasure, row: QueueRow, stands: Stands) -> bool:
        """Is it certain that nobody has the id?  What was never removed after all is struck off.

        Only the home of its application can tell: elsewhere neither removal nor queue may have arrived.
        """
        if not self._is_home(row.application):
            return False
        if erasure.is_sure:
            return True
        if self._clock.now_ticks() - erasure.since < DECIDED_AFTER_TICKS:
            return False
        if not await stands(row):
            return True
        await self._session.write("end_erasure", _shard(erasure.queue_id), erasure.queue_id)
        return False

    async def _erase(self, shard: int, erasure: _Erasure, row: QueueRow) -> None:
        """Erase some partitions and remember how far that went; at the end what belongs to the whole queue."""
        first = erasure.partition or 1
        after = min(first + PARTITIONS_PER_STEP, row.partitions + 1)
        groups = await self._session.read("list_groups", erasure.queue_id)
        names = [_GROUP_DECODER.decode(group).group for (group,) in groups]
        await asyncio.gather(*[self._erase_partition(row, each, names) for each in range(first, after)])
        if after <= row.partitions:
            await self._session.write("advance_erasure", after, shard, erasure.queue_id)
        else:
            await self._session.write("erase_groups", erasure.queue_id)
            await self._session.write("end_erasure", shard, erasure.queue_id)

    async def _erase_partition(self, row: QueueRow, partition: int, groups: list[str]) -> None:
        erase, place = f"erase_bucket_{LIFETIMES[row.lifetime]}", (row.queue_id, partition)
        rows = await self._session.read("list_buckets", *place)
        for chunk in _chunks(sorted({(lane, bucket) for lane, bucket, _, _ in rows})):
            await asyncio.gather(*[self._session.write(erase, *place, *bucket) for bucket in chunk])
        if rows:
            await self._session.write("erase_bucket_index", *place)
        for group in groups:
            await self._session.write("erase_delivery", row.queue_id, partition, group)


def _chunks(buckets: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    for start in range(0, len(buckets), 16):
        yield buckets[start : start + 16]


def _shard(queue_id: QueueId) -> int:
    return queue_id[0] % SHARDS
