"""The writer's view of the file: its connection, the fences it remembers, and rows that wait for one statement.

There is one writer, so what it remembers is the truth.  Appends of one group are judged in memory and their rows
are kept back; ``flush`` writes them with one statement per table.  Whatever else reads or writes those tables
calls ``flush`` first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Final, TypeAlias

from common.identifiers import LOWEST, MessageId, QueueId
from storage_node.store.interface import LogAddress

LOGS_REMEMBERED_MAX: Final = 2_000
"""Fences that the writer remembers (about 400 bytes each); beyond it the oldest are read again when needed."""
FENCE_ID: Final = b"\xff"
"""The id of a log's fence among its lines: behind every message's."""

MessageValues: TypeAlias = tuple[int, int, bytes, int, int, str | None, bytes | None, bytes]
"""place, log, id, expires, written, content type, attributes, body."""

_LogName: TypeAlias = tuple[QueueId, int, int, int]

_ROWS_AT_ONCE: Final = 50
"""Rows that one execution of a statement inserts: a fifth cheaper than one by one."""
_INSERT_MESSAGE: Final = (
    "INSERT INTO message (place, log, id, expires, written, content_type, attributes, body) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_MESSAGES: Final = _INSERT_MESSAGE + ", (?, ?, ?, ?, ?, ?, ?, ?)" * (_ROWS_AT_ONCE - 1)
_INSERT_LINES: Final = (
    "INSERT INTO log_line (log, id, place, expires) "
    "SELECT log, id, place, expires FROM message WHERE place BETWEEN ? AND ? ORDER BY place "
    "ON CONFLICT (log, id) DO UPDATE SET place = excluded.place, expires = excluded.expires"
)
_INSERT_KEY = (
    "INSERT INTO log_key (log, key, id, expires) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (log, key) DO UPDATE SET id = excluded.id, expires = excluded.expires"
)
_INSERT_LOG = "INSERT INTO log (queue_id, partition, lane, bucket, number, announced) VALUES (?, ?, ?, ?, ?, ?)"
_INSERT_FENCE = "INSERT INTO log_line (log, id, place, expires, last, next) VALUES (?, x'ff', 0, 0, ?, ?)"
_UPDATE_FENCE = "UPDATE log_line SET last = ?, next = ? WHERE log = ? AND id = x'ff'"
_SELECT_LOG = (
    "SELECT number, last, next FROM log CROSS JOIN log_line ON log = number AND id = x'ff' "
    "WHERE queue_id = ? AND partition = ? AND lane = ? AND bucket = ?"
)
_SELECT_COUNTERS = "SELECT value, (SELECT coalesce(max(place), 0) FROM message) FROM log_counter"


class LogState:
    """The fence of one bucket, as the next append finds it.

    ``number`` is 0 until the log is made; ``next`` is the bucket that follows one that is closed.
    """

    __slots__ = ("last", "next", "number")

    def __init__(self, number: int, last: MessageId, following: int | None) -> None:
        self.number = number
        self.last = last
        self.next = following


class WriteSession:
    """What a write request gets to work with; belongs to the writer's thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._logs: dict[_LogName, LogState] = {}
        self._new_logs: dict[_LogName, int] = {}
        self._changed_logs: set[_LogName] = set()
        self._messages: list[MessageValues] = []
        self._keys: dict[tuple[int, bytes], tuple[MessageId, int]] = {}
        self._highest_number = 0
        self._highest_place = 0
        self.forget()

    def forget(self) -> None:
        """Drop all that is remembered or kept back: the transaction was rolled back."""
        self._logs.clear()
        self._new_logs.clear()
        self._changed_logs.clear()
        self._messages.clear()
        self._keys.clear()
        counters = self.connection.execute(_SELECT_COUNTERS).fetchone()
        self._highest_number, self._highest_place = counters

    def trim(self) -> None:
        """Forget the oldest fences beyond the bound; between transactions."""
        while len(self._logs) > LOGS_REMEMBERED_MAX:
            del self._logs[next(iter(self._logs))]

    def log(self, log: LogAddress, bucket: int) -> LogState:
        """Return the fence of the bucket, a fresh one with number 0 if it is not there."""
        name = (log.queue_id, log.partition, int(log.lane), bucket)
        state = self._logs.get(name)
        if state is None:
            row = self.connection.execute(_SELECT_LOG, name).fetchone()
            state = LogState(0, LOWEST, None) if row is None else LogState(*row)
            self._logs[name] = state
        return state

    def make_log(self, log: LogAddress, bucket: int, *, announced_ticks: int) -> None:
        """Give the bucket a number if it has none."""
        state = self.log(log, bucket)
        if state.number == 0:
            self._highest_number += 1
            state.number = self._highest_number
            self._new_logs[log.queue_id, log.partition, int(log.lane), bucket] = announced_ticks

    def change_log(self, log: LogAddress, bucket: int) -> None:
        """Say that the state of an existing log was changed."""
        self._changed_logs.add((log.queue_id, log.partition, int(log.lane), bucket))

    def take_places(self, count: int) -> int:
        """Return the first of so many places behind all messages."""
        first = self._highest_place + 1
        self._highest_place += count
        return first

    def keep_messages(self, rows: Sequence[MessageValues]) -> None:
        """Write these rows with the group's others."""
        self._messages.extend(rows)

    def keep_key(self, number: int, key: bytes, message_id: MessageId, *, expires_ticks: int) -> None:
        """Write this key with the group's others."""
        self._keys[number, key] = (message_id, expires_ticks)

    def kept_key(self, number: int, key: bytes) -> MessageId | None:
        """Return the id of a key that waits to be written."""
        kept = self._keys.get((number, key))
        return None if kept is None else kept[0]

    def forget_log(self, queue_id: QueueId, partition: int, lane: int, bucket: int) -> None:
        """Remember the fence no longer: its row is being removed."""
        self.flush()
        self._logs.pop((queue_id, partition, lane, bucket), None)

    def flush(self) -> None:
        """Write all that is kept back."""
        execute_many = self.connection.executemany
        if self._new_logs:
            self._insert_logs()
        if self._changed_logs:
            execute_many(_UPDATE_FENCE, [self._fence_values(name) for name in self._changed_logs])
            self._changed_logs.clear()
        if self._messages:
            self._insert_messages()
        if self._keys:
            execute_many(_INSERT_KEY, [(*name, *values) for name, values in self._keys.items()])
            self._keys.clear()

    def _insert_messages(self) -> None:
        """Insert rows, and their lines from them: their places follow each other without a gap."""
        rows = self._messages
        whole = len(rows) - len(rows) % _ROWS_AT_ONCE
        for start in range(0, whole, _ROWS_AT_ONCE):
            values = tuple(chain.from_iterable(rows[start : start + _ROWS_AT_ONCE]))
            self.connection.execute(_INSERT_MESSAGES, values)
        if whole < len(rows):
            self.connection.executemany(_INSERT_MESSAGE, rows[whole:])
        self.connection.execute(_INSERT_LINES, (rows[0][0], rows[-1][0]))
        rows.clear()

    def _insert_logs(self) -> None:
        logs, fences = [], []
        for name, announced_ticks in self._new_logs.items():
            state = self._logs[name]
            logs.append((*name, state.number, announced_ticks))
            fences.append((state.number, state.last, state.next))
        self.connection.executemany(_INSERT_LOG, logs)
        self.connection.executemany(_INSERT_FENCE, fences)
        self.connection.execute("UPDATE log_counter SET value = ?", (self._highest_number,))
        self._changed_logs.difference_update(self._new_logs)
        self._new_logs.clear()

    def _fence_values(self, name: _LogName) -> tuple[bytes, int | None, int]:
        state = self._logs[name]
        return (state.last, state.next, state.number)
