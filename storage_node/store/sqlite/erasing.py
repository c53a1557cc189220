"""Erasing in bounded steps: what has expired, and what deleted or purged queues left behind.

Each step is one transaction and remembers nothing outside the file, so a crash costs at most one step.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from common.clock import ticks_to_unix_ms
from common.identifiers import QueueId
from storage_node.store.sqlite.session import WriteSession

ROWS_PER_STEP_MAX: Final = 1_000
"""Rows of one table that a step removes at most: what it may delay a publish by."""

_EXPIRED_MESSAGES: Final = "SELECT log, id, place FROM message WHERE expires <= ? ORDER BY expires LIMIT ?"
_OF_LOG: Final = "SELECT log, id, place FROM log_line WHERE log = ? LIMIT ?"
_DELETE_LINE: Final = "DELETE FROM log_line WHERE log = ? AND id = ? AND place = ?"
_DELETE_MESSAGE: Final = "DELETE FROM message WHERE place = ?"
_EXPIRED: Final = (
    "DELETE FROM log_key WHERE (log, key) IN "
    "(SELECT log, key FROM log_key WHERE expires <= ? ORDER BY expires LIMIT ?)",
    "DELETE FROM idempotency_key WHERE (queue_id, key) IN "
    "(SELECT queue_id, key FROM idempotency_key WHERE expires <= ? ORDER BY expires LIMIT ?)",
)
_EXPIRED_REVOCATIONS: Final = (
    "DELETE FROM revocation WHERE (application, link_id) IN "
    "(SELECT application, link_id FROM revocation WHERE expires_ms <= ? LIMIT ?)"
)
_OLDEST_FORGOTTEN: Final = "SELECT number, queue_id FROM forgotten ORDER BY number LIMIT 1"
_LOG_OF: Final = "SELECT number, partition, lane, bucket FROM log WHERE queue_id = ? LIMIT 1"
_KEYS_OF_LOG: Final = "DELETE FROM log_key WHERE (log, key) IN (SELECT log, key FROM log_key WHERE log = ? LIMIT ?)"
_REMOVE_LOG: Final = "DELETE FROM log WHERE queue_id = ? AND partition = ? AND lane = ? AND bucket = ?"
_OF_QUEUE: Final = (
    "DELETE FROM delivery WHERE (queue_id, partition, group_name) IN "
    "(SELECT queue_id, partition, group_name FROM delivery WHERE queue_id = ? LIMIT ?)",
    "DELETE FROM consumer_group WHERE (queue_id, group_name) IN "
    "(SELECT queue_id, group_name FROM consumer_group WHERE queue_id = ? LIMIT ?)",
    "DELETE FROM idempotency_key WHERE (queue_id, key) IN "
    "(SELECT queue_id, key FROM idempotency_key WHERE queue_id = ? LIMIT ?)",
)
_REMEMBERED: Final = "DELETE FROM forgotten WHERE number = ?"


def step(session: WriteSession, *, now_ticks: int) -> int:
    """Erase a bounded part; return 1 if more is left, else 0."""
    session.flush()
    is_more_expired = _erase_expired(session.connection, now_ticks)
    return int(_erase_forgotten(session) or is_more_expired)


def _erase_expired(connection: sqlite3.Connection, now_ticks: int) -> bool:
    removed = [_delete(connection, statement, now_ticks) for statement in _EXPIRED]
    removed.append(_delete_messages(connection, _EXPIRED_MESSAGES, now_ticks))
    removed.append(_delete(connection, _EXPIRED_REVOCATIONS, ticks_to_unix_ms(now_ticks)))
    return max(removed) == ROWS_PER_STEP_MAX


def _erase_forgotten(session: WriteSession) -> bool:
    """Erase queues that were given up, oldest first; return whether more is left."""
    budget = ROWS_PER_STEP_MAX
    while budget > 0:
        oldest = session.connection.execute(_OLDEST_FORGOTTEN).fetchone()
        if oldest is None:
            return False
        budget -= _erase_queue(session, *oldest)
    return True


def _erase_queue(session: WriteSession, number: int, queue_id: QueueId) -> int:
    """Erase one log's part, or all the rest of the queue; return about how many rows that was."""
    connection = session.connection
    log = connection.execute(_LOG_OF, (queue_id,)).fetchone()
    if log is not None:
        removed = [_delete_messages(connection, _OF_LOG, log[0]), _delete(connection, _KEYS_OF_LOG, log[0])]
        if max(removed) < ROWS_PER_STEP_MAX:
            session.forget_log(queue_id, *log[1:])
            connection.execute(_REMOVE_LOG, (queue_id, *log[1:]))
        return 1 + sum(removed)
    removed = [_delete(connection, statement, queue_id) for statement in _OF_QUEUE]
    if max(removed) < ROWS_PER_STEP_MAX:
        connection.execute(_REMEMBERED, (number,))
    return 1 + sum(removed)


def _delete(connection: sqlite3.Connection, statement: str, which: object) -> int:
    return connection.execute(statement, (which, ROWS_PER_STEP_MAX)).rowcount


def _delete_messages(connection: sqlite3.Connection, found_by: str, which: int) -> int:
    """Delete lines with their messages; a message that was written over has no line that names its place."""
    found = connection.execute(found_by, (which, ROWS_PER_STEP_MAX)).fetchall()
    connection.executemany(_DELETE_LINE, found)
    connection.executemany(_DELETE_MESSAGE, [(place,) for _, _, place in found])
    return len(found)
