"""Delivery rows, groups and idempotency keys: compare-and-set throughout."""

from __future__ import annotations

from typing import Final

import msgspec

from common.clock import Clock
from common.identifiers import QueueId
from storage_node.store.cql.session import CqlSession
from storage_node.store.cql.times import ttl_until
from storage_node.store.interface import DeliveryRow, GroupRow, KeyRow, Lane

_GROUP_DECODER: Final = msgspec.json.Decoder(GroupRow)


class Delivery:
    """What is conditional beside the log."""

    def __init__(self, session: CqlSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    async def read(self, queue_id: QueueId, partition: int, group: str) -> DeliveryRow | None:
        """Return the row, a write of it that is under way being decided first."""
        rows = await self._session.read("read_delivery", queue_id, partition, group)
        return DeliveryRow(*rows[0]) if rows else None

    async def swap(
        self, queue_id: QueueId, partition: int, group: str, *, expected: bytes | None, row: DeliveryRow
    ) -> bool:
        """Write the row if the expected version stands."""
        place = (queue_id, partition, group)
        if expected is None:
            outcome = await self._session.compare_and_set("insert_delivery", *place, row.version, row.state)
        else:
            outcome = await self._session.compare_and_set("swap_delivery", row.version, row.state, *place, expected)
        return outcome.applied

    async def insert_group(self, queue_id: QueueId, row: GroupRow) -> GroupRow | None:
        """Create the group; ``None`` when created, else the row that stands there."""
        outcome = await self._session.compare_and_set("insert_group", queue_id, row.group, msgspec.json.encode(row))
        return None if outcome.applied else _GROUP_DECODER.decode(outcome.rows[0]["row"])

    async def list_groups(self, queue_id: QueueId) -> list[GroupRow]:
        """Return the groups, by name."""
        return [_GROUP_DECODER.decode(row) for (row,) in await self._session.read("list_groups", queue_id)]

    async def insert_key(self, queue_id: QueueId, key: str, row: KeyRow, *, expires_ticks: int) -> KeyRow | None:
        """Create the key's row; ``None`` when created, else the row that stands there."""
        ttl_s = ttl_until(expires_ticks, self._clock.now_ticks())
        cells = (row.partition, int(row.lane), row.bucket, row.digest)
        outcome = await self._session.compare_and_set("insert_idempotency_key", queue_id, key, *cells, ttl_s)
        if outcome.applied:
            return None
        standing = outcome.rows[0]
        return KeyRow(standing["partition"], Lane(standing["lane"]), standing["bucket"], standing["digest"])

    async def move_key(
        self, queue_id: QueueId, key: str, row: KeyRow, *, expected_bucket: int, expires_ticks: int
    ) -> bool:
        """Point the key to another bucket if it still points to the expected one."""
        ttl_s = ttl_until(expires_ticks, self._clock.now_ticks())
        cells = (row.partition, int(row.lane), row.bucket, row.digest)
        outcome = await self._session.compare_and_set(
            "move_idempotency_key", ttl_s, *cells, queue_id, key, expected_bucket
        )
        return outcome.applied
