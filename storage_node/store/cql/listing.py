"""The names of an application, in shards, with a copy of each queue's row.

The copy is written after the row itself, so a crash in between could leave it wrong for ever.  Therefore every change
first leaves a *doubt*, an element of a set, and takes it away when the copy is right.  A page that meets a doubt
reads the row itself; one that is old enough to be decided for good is repaired then.

The order is that of (shard, name): stable, and the shard follows from the name, so a name is all that an offset is.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from common.clock import Clock
from common.identifiers import TICKS_PER_SECOND
from storage_node.store.cql.session import CqlSession
from storage_node.store.cql.times import micros_of
from storage_node.store.interface import QueueRow

SHARDS: Final = 32
"""Fixed for the life of a keyspace: a million queues of one application are some 30,000 rows a shard."""
SHARDS_AT_ONCE: Final = 8
DECIDED_AFTER_TICKS: Final = 60 * TICKS_PER_SECOND
"""A conditional write can't come to be applied any more when it is older than this."""

_DECODER: Final = msgspec.json.Decoder(QueueRow)

ReadQueue = Callable[[str, str], Awaitable[QueueRow | None]]


class Doubt(NamedTuple):
    """One attempt to change one queue."""

    row: QueueRow
    element: frozenset[bytes]


class _Entry(NamedTuple):
    """A row of the listing."""

    name: str
    row: bytes | None
    doubts: Sequence[bytes] | None
    written_us: int | None


class Listing:
    """Pages through the queues of an application without asking every node for everything."""

    def __init__(self, session: CqlSession, *, clock: Clock, read_queue: ReadQueue) -> None:
        self._session = session
        self._clock = clock
        self._read_queue = read_queue

    async def doubt(self, row: QueueRow) -> Doubt:
        """Say that the row is about to be changed."""
        element = frozenset([self._clock.now_ticks().to_bytes(8, "big") + os.urandom(8)])
        await self._session.write("doubt_listing", element, *_place(row.application, row.name))
        return Doubt(row, element)

    async def settle(self, doubt: Doubt, now_stands: QueueRow | None, *, removed: bool = False) -> None:
        """Say what became of the change: this row stands now, or the queue is removed, or nothing was changed."""
        place = _place(doubt.row.application, doubt.row.name)
        if now_stands is not None:
            await self._session.write("write_listing", _stamp(now_stands), msgspec.json.encode(now_stands), *place)
        elif removed:
            await self._session.write("clear_listing", _stamp(doubt.row) + 1, *place)
        await self._session.write("settle_listing", doubt.element, *place)

    async def page(self, application: str, *, offset: str | None, limit: int) -> tuple[list[QueueRow], str | None]:
        """Return up to ``limit`` rows from the name ``offset`` on, and the next offset.

        A page in the middle of many queues mostly fits its shard, so it begins with that alone.
        """
        shard, low = (_shard(offset), offset) if offset is not None else (0, "")
        found: list[QueueRow] = []
        at_once = SHARDS_AT_ONCE if offset is None else 1
        while shard < SHARDS and len(found) <= limit:
            shards = range(shard, min(shard + at_once, SHARDS))
            at_once = min(2 * at_once, SHARDS_AT_ONCE)
            wanted = limit + 1 - len(found)
            lows = [low if each == shard else "" for each in shards]
            parts = [self._shard(application, *each, limit=wanted) for each in zip(shards, lows, strict=True)]
            found += [row for part in await asyncio.gather(*parts) for row in part]
            shard, low = shards.stop, ""
        return found[:limit], found[limit].name if len(found) > limit else None

    async def _shard(self, application: str, shard: int, low: str, *, limit: int) -> list[QueueRow]:
        found: list[QueueRow] = []
        while len(found) < limit:
            wanted = limit - len(found)
            rows = await self._session.read("list_shard", application, shard, low, wanted)
            entries = [_Entry(*row) for row in rows]
            checked = await asyncio.gather(*[self._checked(application, entry) for entry in entries])
            found += [row for row in checked if row is not None]
            if len(entries) < wanted:
                break
            low = entries[-1].name + "\0"
        return found

    async def _checked(self, application: str, entry: _Entry) -> QueueRow | None:
        if not entry.doubts:
            return None if entry.row is None else _DECODER.decode(entry.row)
        standing = await self._read_queue(application, entry.name)
        decided_ticks = self._clock.now_ticks() - DECIDED_AFTER_TICKS
        old = [each for each in entry.doubts if int.from_bytes(each[:8], "big") < decided_ticks]
        if old:
            await self._repair(application, entry, standing, frozenset(old))
        return standing

    async def _repair(
        self, application: str, entry: _Entry, standing: QueueRow | None, doubts: frozenset[bytes]
    ) -> None:
        place = _place(application, entry.name)
        if standing is not None:
            await self._session.write("write_listing", _stamp(standing), msgspec.json.encode(standing), *place)
        elif entry.written_us is not None:
            await self._session.write("clear_listing", entry.written_us, *place)
        await self._session.write("settle_listing", doubts, *place)


def _place(application: str, name: str) -> tuple[str, int, str]:
    return application, _shard(name), name


def _shard(name: str) -> int:
    return hashlib.blake2b(name.encode(), digest_size=1).digest()[0] % SHARDS


def _stamp(row: QueueRow) -> int:
    """Return a time stamp that grows with each change of an incarnation and from one incarnation to the next."""
    return micros_of(row.created_ticks) + row.version
