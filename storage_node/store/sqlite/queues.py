"""Queue rows: every change is conditional on the version."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from storage_node.store.interface import QueueRow
from storage_node.store.sqlite.session import WriteSession

_DECODER: Final = msgspec.json.Decoder(QueueRow)
_SELECT: Final = "SELECT row FROM queue WHERE application = ? AND name = ?"
_INSERT: Final = "INSERT INTO queue (application, name, version, row) VALUES (?, ?, ?, ?)"
_REPLACE: Final = "UPDATE queue SET version = ?, row = ? WHERE application = ? AND name = ? AND version = ?"
_REMOVE: Final = "DELETE FROM queue WHERE application = ? AND name = ? AND version = ?"
_PAGE: Final = "SELECT row FROM queue WHERE application = ? AND name >= ? ORDER BY name LIMIT ?"
_FORGET: Final = "INSERT INTO forgotten (queue_id) VALUES (?)"


def read(connection: sqlite3.Connection, application: str, name: str) -> QueueRow | None:
    """Return the row of that name."""
    found = connection.execute(_SELECT, (application, name)).fetchone()
    return None if found is None else _DECODER.decode(found[0])


def insert(session: WriteSession, row: QueueRow) -> QueueRow | None:
    """Create the row if the name is free; else return the one that stands there."""
    standing = read(session.connection, row.application, row.name)
    if standing is None:
        session.connection.execute(_INSERT, (row.application, row.name, row.version, msgspec.json.encode(row)))
    return standing


def replace(session: WriteSession, row: QueueRow, expected_version: int) -> bool:
    """Replace the row if the expected version stands."""
    values = (row.version, msgspec.json.encode(row), row.application, row.name, expected_version)
    return session.connection.execute(_REPLACE, values).rowcount == 1


def remove(session: WriteSession, row: QueueRow) -> bool:
    """Remove the row if its version stands, and give its data up."""
    is_removed = session.connection.execute(_REMOVE, (row.application, row.name, row.version)).rowcount == 1
    if is_removed:
        forget(session, row)
    return is_removed


def forget(session: WriteSession, row: QueueRow) -> None:
    """Give up the data of this internal id."""
    session.connection.execute(_FORGET, (row.queue_id,))


def page(
    connection: sqlite3.Connection, application: str, *, offset: str | None, limit: int
) -> tuple[list[QueueRow], str | None]:
    """Return a page by name, and the name at which the next one begins."""
    found = connection.execute(_PAGE, (application, offset or "", limit + 1)).fetchall()
    rows = [_DECODER.decode(encoded) for (encoded,) in found]
    return rows[:limit], rows[limit].name if len(rows) > limit else None
