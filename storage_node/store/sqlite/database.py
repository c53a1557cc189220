"""Opening the file: one node at a time, mode 0600, the schema brought up to date."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from importlib import resources
from pathlib import Path
from typing import Final

from storage_node.store.errors import StoreFailedError

APPLICATION_ID: Final = 0x51756579
"""``Quey``: written into the file's header, so that another program's file is refused."""
WRITER_CACHE_KIB: Final = 2 * 1024
"""KiB of pages that the writer keeps: enough for what leads to the leaves of a million queues, and full with few
queues, too.  More of them cost memory that grows with the queues, and save no time that could be measured."""
READER_CACHE_KIB: Final = 1024
"""KiB of pages that a reader keeps until the next commit; the system's own cache of the file does the rest."""
PAGE_BYTES: Final = 4096
"""Bytes of a page; fixed when the file is made."""
CHECKPOINT_PAGES: Final = 16_000
"""Pages of the write-ahead log beyond which the writer itself moves into the file what is not there yet."""
BUSY_MS: Final = 5_000
"""Milliseconds to wait for another program that looks into the file."""


class FileLock:
    """The exclusive right to a database file, held until released or until the process ends."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise StoreFailedError(f"{path} is in use by another storage node") from None
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let the next node have the file; doing it twice does no harm."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def create_file(path: Path) -> None:
    """Make the file, readable by its owner only, if it is not there; SQLite gives its side files the same mode."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreFailedError(f"{path} cannot be opened: {error.strerror}") from error


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the one connection that writes, with the schema brought up to date.

    Raises:
        StoreFailedError: damaged, another program's, or written by a newer version.
    """
    connection = _connect(path)
    try:
        connection.execute(f"PRAGMA cache_size = -{WRITER_CACHE_KIB}")
        _refuse_foreign(connection, path)
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        migrate(connection)
    except sqlite3.Error as error:
        connection.close()
        raise StoreFailedError(f"{path} cannot be used: {error}") from error
    except StoreFailedError:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that can't write."""
    connection = _connect(path)
    connection.execute(f"PRAGMA cache_size = -{READER_CACHE_KIB}")
    connection.execute("PRAGMA query_only = ON")
    return connection


def open_checkpointer(path: Path) -> sqlite3.Connection:
    """Open a connection that does nothing but move the write-ahead log into the file."""
    connection = _connect(path)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def migrations() -> list[tuple[int, str]]:
    """Return the numbered steps whose sum is the schema, ascending."""
    folder = resources.files("storage_node.store.sqlite").joinpath("schema")
    steps = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return sorted((int(step.name.split("_")[0]), step.read_text("utf-8")) for step in steps)


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the steps that the file has not seen, each in a transaction of its own."""
    version = _pragma(connection, "user_version")
    steps = migrations()
    if version > steps[-1][0]:
        raise StoreFailedError(f"the file has schema {version}, this program knows {steps[-1][0]}: it is too old")
    for number, text in steps:
        if number > version:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{text}\n;PRAGMA application_id = {APPLICATION_ID};"
                f"PRAGMA user_version = {number};\nCOMMIT;"
            )


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False, cached_statements=256
    )


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    is_empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if not is_empty and _pragma(connection, "application_id") != APPLICATION_ID:
        raise StoreFailedError(f"{path} is not a store of this service")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
