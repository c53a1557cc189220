"""What the two kinds of thread do with a batch: the writer commits it as one group, a reader answers it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from storage_node.store.errors import StoreUnknownError
from storage_node.store.sqlite.faults import translate
from storage_node.store.sqlite.session import WriteSession
from storage_node.store.sqlite.worker import Request


class GroupCommit:
    """All requests of a batch share one transaction and one fsync.

    If any of them fails, or there is no space for all, nothing of the group is kept and each is tried again
    in a transaction of its own, so that none suffers for another.  Only a commit whose outcome is not known is
    not tried again.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._session = WriteSession(connection)

    def serve(self, batch: Sequence[Request[WriteSession]]) -> None:
        """Do them all together, or one by one."""
        if not self._commit(batch) and len(batch) > 1:
            for request in batch:
                request.error = None
                self._commit([request])
        self._session.trim()

    def finish(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _commit(self, group: Sequence[Request[WriteSession]]) -> bool:
        """Return whether the matter is settled for the whole group: done, or not known."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for request in group:
                request.answer = request.run(self._session)
            self._session.flush()
        except Exception as error:
            self._undo(group, error, at_commit=False)
            return False
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            return self._undo(group, error, at_commit=True)
        return True

    def _undo(self, group: Sequence[Request[WriteSession]], error: Exception, *, at_commit: bool) -> bool:
        """Roll back, tell each request, and return whether the outcome is not known."""
        failure = translate(error, at_commit=at_commit)
        failure.__cause__ = error
        for request in group:
            request.error = failure
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._session.forget()
        except sqlite3.Error:
            pass  # the next BEGIN says it again
        return isinstance(failure, StoreUnknownError)


class Reads:
    """Each request sees the newest commit at its own start."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def serve(self, batch: Sequence[Request[sqlite3.Connection]]) -> None:
        """Answer each on its own."""
        for request in batch:
            try:
                request.answer = request.run(self._connection)
            except Exception as error:
                request.error = translate(error)

    def finish(self) -> None:
        """Close the connection."""
        self._connection.close()
