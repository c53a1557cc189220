"""The embedded store: one SQLite file, one storage node, one writer with group commit."""

from __future__ import annotations

from storage_node.store.sqlite.store import SqliteStore, open_sqlite_store

__all__ = ["SqliteStore", "open_sqlite_store"]
