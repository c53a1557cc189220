"""What sqlite3 raises, said in the words of ``storage_node.store.errors``."""

from __future__ import annotations

import sqlite3

from storage_node.store.errors import StoreError, StoreFailedError, StoreFullError, StoreUnknownError

_PRIMARY_CODE_MASK = 0xFF


def translate(error: Exception, *, at_commit: bool = False) -> StoreError:
    """Return the store's error for this one.

    A statement that fails was certainly not done.  A commit that fails on anything but space is not so sure: its
    frames may lie in the write-ahead log and come to life when the file is next opened.
    """
    if isinstance(error, StoreError):
        return error
    code = _primary_code(error)
    if code == sqlite3.SQLITE_FULL:
        return StoreFullError(f"no space is left for the store: {error}")
    if at_commit and code != sqlite3.SQLITE_BUSY:
        return StoreUnknownError(f"the commit failed: {error}")
    return StoreFailedError(f"the store refused: {error}")


def is_full(error: Exception) -> bool:
    """Tell whether the disk, or the bound on the file, is full."""
    return _primary_code(error) == sqlite3.SQLITE_FULL


def _primary_code(error: Exception) -> int:
    code = getattr(error, "sqlite_errorcode", None)
    return int(code) & _PRIMARY_CODE_MASK if code is not None else sqlite3.SQLITE_ERROR
