"""Reading message rows, and the edits by id."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from common.identifiers import MessageId, QueueId
from storage_node.store.interface import BucketRow, Fence, LogAddress, StoredMessage
from storage_node.store.sqlite.appends import values_of
from storage_node.store.sqlite.session import WriteSession

_LOG: Final = "(SELECT number FROM log WHERE queue_id = ? AND partition = ? AND lane = ? AND bucket = ?)"
_ROW: Final = "line.id, body, content_type, attributes, line.expires, written"
_ROW_BARE: Final = "line.id, x'', content_type, attributes, line.expires, written"
_IDS_PER_SELECT: Final = 100

_LINES: Final = "FROM log_line AS line CROSS JOIN message ON message.place = line.place"
_RANGE: Final = f"{_LINES} WHERE line.log = {_LOG} AND line.id BETWEEN ? AND ? AND line.expires > ?"
_LISTS: Final = {
    (bodies, descending): (
        f"SELECT {_ROW if bodies else _ROW_BARE} {_RANGE} ORDER BY line.id {'DESC' if descending else 'ASC'} LIMIT ?"
    )
    for bodies in (False, True)
    for descending in (False, True)
}
_BY_IDS: Final = (
    f"SELECT {_ROW} {_LINES} WHERE line.log = {_LOG} "
    f"AND line.id IN ({', '.join('?' * _IDS_PER_SELECT)}) AND line.expires > ?"
)
_COUNT: Final = (
    f"SELECT count(*) FROM (SELECT 1 FROM log_line WHERE log = {_LOG} AND id >= ? AND expires > ? LIMIT ?)"  # noqa: S608 - constants
)
_BYTES: Final = (
    "SELECT coalesce(sum(length(body)), 0) FROM log CROSS JOIN log_line AS line ON line.log = log.number"
    " CROSS JOIN message ON message.place = line.place WHERE log.queue_id = ? AND line.expires > ?"
)
_PLACE: Final = "SELECT place FROM log_line WHERE log = ? AND id = ?"
_REPLACE: Final = (
    "UPDATE message SET expires = ?, written = ?, content_type = ?, attributes = ?, body = ? WHERE place = ?"
)
_REPLACE_LINE: Final = "UPDATE log_line SET expires = ? WHERE log = ? AND id = ?"
_DELETE: Final = "DELETE FROM message WHERE place = (SELECT place FROM log_line WHERE log = ? AND id = ?)"
_DELETE_LINE: Final = "DELETE FROM log_line WHERE log = ? AND id = ?"
_BUCKETS: Final = (
    "SELECT bucket, announced FROM log WHERE queue_id = ? AND partition = ? AND lane = ? ORDER BY bucket"
)
_FENCE: Final = f"SELECT last, next FROM log_line WHERE log = {_LOG} AND id = x'ff'"  # noqa: S608 - constants

_decode_attributes = msgspec.json.Decoder(dict[str, str]).decode


def read_fence(connection: sqlite3.Connection, log: LogAddress, bucket: int) -> Fence | None:
    """Return the bucket's fence."""
    row = connection.execute(_FENCE, _name(log, bucket)).fetchone()
    return None if row is None else Fence(row[0], row[1] is not None, row[1])


def list_buckets(connection: sqlite3.Connection, log: LogAddress) -> list[BucketRow]:
    """Return the log's buckets, ascending."""
    found = connection.execute(_BUCKETS, (log.queue_id, log.partition, int(log.lane)))
    return [BucketRow(bucket, announced) for bucket, announced in found]


def list_range(
    connection: sqlite3.Connection,
    log: LogAddress,
    bucket: int,
    *,
    low: MessageId,
    high: MessageId,
    limit: int,
    descending: bool,
    now_ticks: int,
    bodies: bool,
) -> list[StoredMessage]:
    """Return up to ``limit`` live messages between two ids, both included."""
    values = (*_name(log, bucket), low, high, now_ticks, limit)
    return _messages(connection.execute(_LISTS[bodies, descending], values))


def read_ids(
    connection: sqlite3.Connection, log: LogAddress, bucket: int, ids: Sequence[MessageId], *, now_ticks: int
) -> list[StoredMessage]:
    """Return the live ones of these ids."""
    found: list[StoredMessage] = []
    unique = list(dict.fromkeys(ids))
    for start in range(0, len(unique), _IDS_PER_SELECT):
        chunk = unique[start : start + _IDS_PER_SELECT]
        chunk += chunk[:1] * (_IDS_PER_SELECT - len(chunk))
        found += _messages(connection.execute(_BY_IDS, (*_name(log, bucket), *chunk, now_ticks)))
    return found


def count(
    connection: sqlite3.Connection, log: LogAddress, bucket: int, *, low: MessageId, limit: int, now_ticks: int
) -> int:
    """Count live messages from ``low`` on, up to ``limit``."""
    values = (*_name(log, bucket), low, now_ticks, limit)
    return int(connection.execute(_COUNT, values).fetchone()[0])


def total_bytes(connection: sqlite3.Connection, queue_ids: Sequence[QueueId], *, now_ticks: int) -> int:
    """Return the bytes of all live bodies of these queues."""
    return sum(connection.execute(_BYTES, (queue_id, now_ticks)).fetchone()[0] for queue_id in queue_ids)


def put(session: WriteSession, log: LogAddress, bucket: int, message: StoredMessage) -> None:
    """Write the whole row over whatever stands there."""
    session.make_log(log, bucket, announced_ticks=bucket)
    session.flush()
    number = session.log(log, bucket).number
    standing = session.connection.execute(_PLACE, (number, message.message_id)).fetchone()
    if standing is None:
        session.keep_messages([values_of(session.take_places(1), number, message)])
        return
    values = values_of(standing[0], number, message)
    session.connection.execute(_REPLACE, (*values[3:], standing[0]))
    session.connection.execute(_REPLACE_LINE, (message.expires_ticks, number, message.message_id))


def delete(session: WriteSession, log: LogAddress, bucket: int, ids: Sequence[MessageId]) -> None:
    """Delete these rows."""
    session.flush()
    number = session.log(log, bucket).number
    rows = [(number, message_id) for message_id in ids]
    session.connection.executemany(_DELETE, rows)
    session.connection.executemany(_DELETE_LINE, rows)


def _name(log: LogAddress, bucket: int) -> tuple[bytes, int, int, int]:
    return (log.queue_id, log.partition, int(log.lane), bucket)


def _messages(rows: Iterable[tuple[Any, ...]]) -> list[StoredMessage]:
    return [
        StoredMessage(
            message_id,
            body,
            content_type,
            {} if attributes is None else _decode_attributes(attributes),
            expires,
            written,
        )
        for message_id, body, content_type, attributes, expires, written in rows
    ]
