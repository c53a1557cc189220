"""Revoked links and the lowest epochs that applications accept."""

from __future__ import annotations

import sqlite3
from typing import Final

from storage_node.store.interface import RevocationRow
from storage_node.store.sqlite.session import WriteSession

_REVOKE: Final = (
    "INSERT INTO revocation (application, link_id, epoch, expires_ms) VALUES (?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET epoch = max(epoch, excluded.epoch), expires_ms = max(expires_ms, excluded.expires_ms)"
)
_LIST: Final = (
    "SELECT link_id, epoch, expires_ms FROM revocation WHERE application = ? AND expires_ms > ? ORDER BY link_id"
)


def revoke(session: WriteSession, application: str, row: RevocationRow) -> None:
    """Remember it; a later one of the same link never weakens it."""
    session.connection.execute(_REVOKE, (application, row.link_id, row.epoch, row.expires_ms))


def list_live(connection: sqlite3.Connection, application: str, *, now_ms: int) -> list[RevocationRow]:
    """Return those that have not expired."""
    return [RevocationRow(*found) for found in connection.execute(_LIST, (application, now_ms))]
