"""Moving the write-ahead log into the file beside the writer, so that no commit waits for it."""

from __future__ import annotations

import sqlite3
import threading
from typing import Final

CHECKPOINT_EVERY_S: Final = 1.0
"""Seconds between two moves while there are commits: the writer finds about as much left when the log is full."""


class Checkpoints:
    """A thread with a connection of its own.

    SQLite begins its log anew only when all of it is in the file, and while somebody commits that is never so after a
    move from here.  The writer's own move, once the log is full, finishes what is left: one interval's commits.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._seen = self._version()
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="store-checkpoints", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and the connection; waits for a move under way."""
        self._is_closing.set()
        self._thread.join()
        self._connection.close()

    def _work(self) -> None:
        while not self._is_closing.wait(CHECKPOINT_EVERY_S):
            try:
                self._move()
            except sqlite3.Error:
                continue  # the disk is full, or the file is being looked at: the next round tries again

    def _move(self) -> None:
        seen = self._version()
        if seen != self._seen:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._seen = seen

    def _version(self) -> int:
        """Return a number that changes with every commit of another connection."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
