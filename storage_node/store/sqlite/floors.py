"""The time below which no node stamps an id any more."""

from __future__ import annotations

import sqlite3
from typing import Final

from storage_node.store.sqlite.session import WriteSession

_SELECT: Final = "SELECT ticks FROM floor"
_RAISE: Final = "UPDATE floor SET ticks = ?1 WHERE ticks < ?1"


def read(connection: sqlite3.Connection) -> int:
    """Return it."""
    return int(connection.execute(_SELECT).fetchone()[0])


def raise_to(session: WriteSession, ticks: int) -> None:
    """Raise it, never lower it."""
    session.connection.execute(_RAISE, (ticks,))
