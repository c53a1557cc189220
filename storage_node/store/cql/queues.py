"""Queue rows: compare-and-set on version and incarnation, with the listing kept beside them."""

from __future__ import annotations

import contextlib
import math
from typing import Any, Final

import msgspec

from common.clock import Clock
from common.limits import LATE_WINDOW_MS
from storage_node.store.cql.erasures import Erasures
from storage_node.store.cql.listing import Doubt, Listing
from storage_node.store.cql.session import CqlSession
from storage_node.store.errors import StoreError, StoreUnknownError
from storage_node.store.interface import QueueRow

REMOVED_TTL_S: Final = math.ceil(LATE_WINDOW_MS / 1000) + 1

_DECODER: Final = msgspec.json.Decoder(QueueRow)


class Queues:
    """The queues of all applications."""

    def __init__(self, session: CqlSession, *, clock: Clock, erasures: Erasures) -> None:
        self._session = session
        self._erasures = erasures
        self._listing = Listing(session, clock=clock, read_queue=self._read_serially)

    async def insert(self, row: QueueRow) -> QueueRow | None:
        """Create the row if the name is free; ``None`` when created, else the row that stands there."""
        standing = await self.read(row.application, row.name)
        if standing is not None:
            return standing
        doubt = await self._listing.doubt(row)
        standing = await self._insert(row)
        await self._settle(doubt, row if standing is None else None)
        return standing

    async def read(self, application: str, name: str) -> QueueRow | None:
        """Return the row as last acknowledged."""
        return _only(await self._session.read("read_queue", application, name))

    async def replace(self, row: QueueRow, expected_version: int) -> bool:
        """Replace the row if this incarnation stands at the expected version."""
        doubt = await self._listing.doubt(row)
        outcome = await self._session.compare_and_set(
            "replace_queue",
            *(row.version, row.queue_id, msgspec.json.encode(row)),
            *(row.application, row.name, expected_version, row.created_ticks),
        )
        await self._settle(doubt, row if outcome.applied else None)
        return outcome.applied

    async def remove(self, row: QueueRow) -> bool:
        """Remove the row if its version stands; its data are remembered for erasing before, and surely after."""
        doubt = await self._listing.doubt(row)
        await self._erasures.consider(row)
        await self._session.write("note_removed", row.application, row.name, REMOVED_TTL_S)
        outcome = await self._session.compare_and_set(
            "remove_queue", row.application, row.name, row.version, row.queue_id
        )
        if outcome.applied:
            with contextlib.suppress(StoreError):
                await self._erasures.decide(row)
        await self._settle(doubt, None, removed=outcome.applied)
        return outcome.applied

    async def recently_removed(self, application: str, name: str) -> bool:
        """Was a queue of this name removed less than D ago, or a little more?"""
        return bool(await self._session.read("read_removed", application, name))

    async def page(self, application: str, *, offset: str | None, limit: int) -> tuple[list[QueueRow], str | None]:
        """Return a page in the order of the listing, and the name at which the next one begins."""
        return await self._listing.page(application, offset=offset, limit=limit)

    async def stands(self, row: QueueRow) -> bool:
        """Does a queue of this name have this internal id, every write under way being decided first?"""
        standing = await self._read_serially(row.application, row.name)
        return standing is not None and standing.queue_id == row.queue_id

    async def _settle(self, doubt: Doubt, now_stands: QueueRow | None, *, removed: bool = False) -> None:
        """Settle a doubt of what is decided; where that fails it stays, and is looked into as after a crash."""
        with contextlib.suppress(StoreError):
            await self._listing.settle(doubt, now_stands, removed=removed)

    async def _insert(self, row: QueueRow) -> QueueRow | None:
        """Insert; where the outcome is unknown the row itself tells, for its internal id is this attempt's own."""
        values = (row.application, row.name, row.version, row.created_ticks, row.queue_id, msgspec.json.encode(row))
        try:
            outcome = await self._session.compare_and_set("insert_queue", *values)
        except StoreUnknownError:
            try:
                standing = await self._read_serially(row.application, row.name)
            except StoreError:
                standing = None  # a read that failed says nothing of the insert
            if standing is None:
                raise
            return None if standing.queue_id == row.queue_id else standing
        return None if outcome.applied else _DECODER.decode(outcome.rows[0]["row"])

    async def _read_serially(self, application: str, name: str) -> QueueRow | None:
        return _only(await self._session.read("read_queue_serially", application, name))


def _only(rows: list[tuple[Any, ...]]) -> QueueRow | None:
    return _DECODER.decode(rows[0][0]) if rows else None
