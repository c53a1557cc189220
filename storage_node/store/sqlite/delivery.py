"""Delivery rows, consumer groups and the rows of idempotency keys."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from common.identifiers import MessageId, QueueId
from storage_node.store.interface import DeliveryRow, GroupRow, KeyRow, Lane
from storage_node.store.sqlite.session import WriteSession

_SELECT: Final = "SELECT version, state FROM delivery WHERE queue_id = ? AND partition = ? AND group_name = ?"
_INSERT: Final = (
    "INSERT INTO delivery (version, state, queue_id, partition, group_name) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT DO NOTHING"
)
_UPDATE: Final = (
    "UPDATE delivery SET version = ?, state = ? "
    "WHERE queue_id = ? AND partition = ? AND group_name = ? AND version = ?"
)
_SELECT_GROUP: Final = (
    "SELECT group_name, created, start, ends FROM consumer_group WHERE queue_id = ? AND group_name = ?"
)
_SELECT_GROUPS: Final = (
    "SELECT group_name, created, start, ends FROM consumer_group WHERE queue_id = ? ORDER BY group_name"
)
_INSERT_GROUP: Final = (
    "INSERT INTO consumer_group (queue_id, group_name, created, start, ends) VALUES (?, ?, ?, ?, ?)"
)
_SELECT_KEY: Final = "SELECT partition, lane, bucket, digest FROM idempotency_key WHERE queue_id = ? AND key = ?"
_INSERT_KEY: Final = (
    "INSERT INTO idempotency_key (queue_id, key, partition, lane, bucket, digest, expires) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_MOVE_KEY: Final = (
    "UPDATE idempotency_key SET partition = ?, lane = ?, bucket = ?, digest = ?, expires = ? "
    "WHERE queue_id = ? AND key = ? AND bucket = ?"
)

_decode_ends = msgspec.json.Decoder(dict[int, bytes]).decode


def read(connection: sqlite3.Connection, queue_id: QueueId, partition: int, group: str) -> DeliveryRow | None:
    """Return the row of one group in one partition."""
    found = connection.execute(_SELECT, (queue_id, partition, group)).fetchone()
    return None if found is None else DeliveryRow(*found)


def swap(
    session: WriteSession, queue_id: QueueId, partition: int, group: str, *, expected: bytes | None, row: DeliveryRow
) -> bool:
    """Write the row if the expected version stands."""
    values = (row.version, row.state, queue_id, partition, group)
    if expected is None:
        return session.connection.execute(_INSERT, values).rowcount == 1
    return session.connection.execute(_UPDATE, (*values, expected)).rowcount == 1


def insert_group(session: WriteSession, queue_id: QueueId, row: GroupRow) -> GroupRow | None:
    """Create the group; else return the one that stands there."""
    found = session.connection.execute(_SELECT_GROUP, (queue_id, row.group)).fetchone()
    if found is not None:
        return _group(*found)
    ends = msgspec.json.encode(row.ends)
    session.connection.execute(_INSERT_GROUP, (queue_id, row.group, row.created_ticks, row.start, ends))
    return None


def list_groups(connection: sqlite3.Connection, queue_id: QueueId) -> list[GroupRow]:
    """Return a queue's groups by name."""
    return [_group(*found) for found in connection.execute(_SELECT_GROUPS, (queue_id,))]


def insert_key(
    session: WriteSession, queue_id: QueueId, key: str, row: KeyRow, *, expires_ticks: int
) -> KeyRow | None:
    """Create the key's row; else return the one that stands there."""
    found = session.connection.execute(_SELECT_KEY, (queue_id, key)).fetchone()
    if found is not None:
        return KeyRow(found[0], Lane(found[1]), found[2], found[3])
    values = (queue_id, key, row.partition, int(row.lane), row.bucket, row.digest, expires_ticks)
    session.connection.execute(_INSERT_KEY, values)
    return None


def move_key(
    session: WriteSession, queue_id: QueueId, key: str, row: KeyRow, *, expected_bucket: int, expires_ticks: int
) -> bool:
    """Point the key elsewhere if it still points to the expected bucket."""
    target = (row.partition, int(row.lane), row.bucket, row.digest, expires_ticks)
    return session.connection.execute(_MOVE_KEY, (*target, queue_id, key, expected_bucket)).rowcount == 1


def _group(name: str, created_ticks: int, start: str, ends: bytes) -> GroupRow:
    decoded = {partition: MessageId(last) for partition, last in _decode_ends(ends).items()}
    return GroupRow(name, created_ticks, start, decoded)
