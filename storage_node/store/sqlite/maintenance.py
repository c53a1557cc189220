"""What an operator does with the file: copy it while in use, put a copy in its place, bring its schema up to date."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from storage_node.store.errors import StoreFailedError
from storage_node.store.sqlite.database import APPLICATION_ID, FileLock, create_file, open_writer

PAGES_PER_STEP: Final = 2_000
"""Pages copied between two signs of progress."""
_SIDE_FILES: Final = ("-wal", "-shm")


def backup_file(source: Path, target: Path, *, progress: Callable[[int, int], None]) -> int:
    """Copy the file as it is at one moment, while a node may be writing to it; return the copy's bytes.

    The copy holds everything that was acknowledged before the call.  It is checked, and has its name only when it is
    whole and on the disk.  ``progress`` is told the pages that are done, and all of them.

    Raises:
        StoreFailedError: ``source`` is no store, ``target`` is there, or the disk is full.
    """
    partial = _new_partial(target)
    try:
        with contextlib.closing(_open_source(source)) as reading, contextlib.closing(_connect(partial)) as writing:
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # from here on nothing changes for it
            reading.backup(
                writing, pages=PAGES_PER_STEP, progress=lambda _, left, total: progress(total - left, total)
            )
            _check(writing, partial)
        _finish(partial, target)
    except (sqlite3.Error, OSError) as error:
        raise StoreFailedError(f"{source} could not be copied: {error}") from error
    finally:
        _remove(partial)
    return target.stat().st_size


def restore_file(backup: Path, target: Path, *, progress: Callable[[int, int], None]) -> Path | None:
    """Put a copy of a backup in place of the store's file; return the name that the earlier file now has.

    Raises:
        StoreFailedError: a node has the file open, or the backup is no sound store.
    """
    create_parent(target)
    lock = FileLock(target)
    try:
        fresh = target.with_name(target.name + ".restored")
        fresh.unlink(missing_ok=True)
        backup_file(backup, fresh, progress=progress)
        kept = _set_aside(target) if target.exists() else None
        fresh.rename(target)
        _sync(target.parent)
    except OSError as error:
        raise StoreFailedError(f"{backup} could not be put in place: {error}") from error
    finally:
        lock.release()
    return kept


def migrate_file(path: Path) -> int:
    """Bring the schema up to date, making the file if it is not there; return how many steps were applied.

    Raises:
        StoreFailedError: in use by a node, damaged, not ours, or written by a newer version.
    """
    create_file(path)
    lock = FileLock(path)
    try:
        before = _version(path)
        open_writer(path).close()
        return _version(path) - before
    finally:
        lock.release()


def create_parent(path: Path) -> None:
    """Make the folder of a file, its owner's alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def _new_partial(target: Path) -> Path:
    if target.exists():
        raise StoreFailedError(f"{target} is there: it is not overwritten")
    partial = target.with_name(target.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreFailedError(f"{partial} cannot be made: {error.strerror}") from error
    return partial


def _open_source(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise StoreFailedError(f"{path} is not there")
    connection = _connect(path)
    connection.execute("PRAGMA query_only = ON")
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        connection.close()
        raise StoreFailedError(f"{path} is not a store of this service")
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise StoreFailedError(f"{path} is damaged: {found}")
    connection.execute("PRAGMA journal_mode = DELETE")


def _finish(partial: Path, target: Path) -> None:
    _sync(partial)
    partial.rename(target)
    _sync(target.parent)


def _set_aside(path: Path) -> Path:
    """Rename the file and what belongs to it: a write-ahead log beside another file would destroy that one."""
    number = next(n for n in range(1, 1_000_000) if not path.with_name(f"{path.name}.before-restore-{n}").exists())
    kept = path.with_name(f"{path.name}.before-restore-{number}")
    for side in _SIDE_FILES:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + side).rename(kept.with_name(kept.name + side))
    path.rename(kept)
    return kept


def _remove(partial: Path) -> None:
    for end in ("", "-journal", *_SIDE_FILES):
        partial.with_name(partial.name + end).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _version(path: Path) -> int:
    with contextlib.closing(_connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=5.0, isolation_level=None)
