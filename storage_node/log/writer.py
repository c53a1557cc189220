"""One writer per log that has something to write: what arrives during a round goes together in the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from common.clock import Clock
from common.guarantees import LogKind
from common.identifiers import MessageId, ticks_of
from common.limits import APPEND_BATCH_BYTES_MAX, APPEND_BATCH_MESSAGES_MAX, APPENDS_QUEUED_MAX
from common.protocol.failures import Failure
from storage_node.log.outcomes import OUTCOME_UNKNOWN, PARTITION_OVERLOADED
from storage_node.log.pending import Entry
from storage_node.log.tools import Tools
from storage_node.store.interface import Lane, LogAddress

RETRY_FIRST_S: Final = 0.05
RETRY_MAX_S: Final = 1.0
GATHER_S: Final = 0.001
"""Seconds that a busy writer waits for others to share its next round: a round costs as much as the answers to it."""


Round = Callable[["Writer", list[Entry]], Awaitable[None]]


class Writer:
    """Writes one log while there is something to write; then it is forgotten."""

    __slots__ = ("_bytes", "_kind", "_queue", "_writers", "in_round", "log", "tools", "undecided")

    def __init__(self, writers: Writers, log: LogAddress, kind: LogKind) -> None:
        self._writers = writers
        self._kind = kind
        self._queue: deque[Entry] = deque()
        self._bytes = 0
        self.tools = writers.tools
        self.log = log
        self.in_round: list[Entry] = []
        self.undecided: MessageId | None = None
        """Lowest id under way of which it is not known whether it is stored."""

    def submit(self, entries: Iterable[Entry]) -> None:
        """Queue entries of one request; their futures tell.  Too many are refused as overload."""
        queue = self._queue
        for entry in entries:
            if len(queue) >= APPENDS_QUEUED_MAX:
                entry.fail(PARTITION_OVERLOADED)
            else:
                queue.append(entry)

    async def run(self) -> None:
        """Write rounds until nothing waits."""
        write_round = self._writers.rounds[self._kind]
        try:
            while self._queue:
                self.in_round = self._take()
                await write_round(self, self.in_round)
                self.undecided = None
                self._tell_stored()
                await self._gather()
        finally:
            self.in_round = []
            self._writers.forget(self)
            self.fail_all(OUTCOME_UNKNOWN)

    def _tell_stored(self) -> None:
        """Tell of what this round stored; not of what was there already under its key."""
        on_stored = self.tools.on_stored
        if on_stored is None:
            return
        for entry in self.in_round:
            pending, message_id = entry.pending, entry.message_id
            if pending.results[entry.index].message_id == message_id:
                on_stored(pending.row.application, len(entry.body), ticks_of(message_id) + entry.ttl_ticks)

    async def _gather(self) -> None:
        """Where several requests shared a round, give those that will share the next a moment to come."""
        together = len({entry.pending for entry in self.in_round})
        if together > 1 and len(self._queue) < together:
            await asyncio.sleep(GATHER_S)

    def fail_all(self, failure: Failure) -> None:
        """Settle what nobody will write any more."""
        for entry in self._queue:
            entry.fail(failure)
        self._queue.clear()

    def _take(self) -> list[Entry]:
        """Take the next round: bounded, and no key twice."""
        queue = self._queue
        if len(queue) == 1:
            return [queue.popleft()]
        entries: list[Entry] = []
        keys: set[bytes] = set()
        size_bytes = 0
        while queue and len(entries) < APPEND_BATCH_MESSAGES_MAX:
            entry = queue[0]
            size_bytes += entry.size_bytes
            if entries and (size_bytes > APPEND_BATCH_BYTES_MAX or entry.key in keys):
                break
            if entry.key is not None:
                keys.add(entry.key)
            entries.append(queue.popleft())
        return entries

    def note_attempt(self, lowest: MessageId, *, keep: bool) -> None:
        """Say which ids are about to be sent; ``keep``: those of an earlier attempt may still come to be stored."""
        if keep and self.undecided is not None:
            self.undecided = min(self.undecided, lowest)
        else:
            self.undecided = lowest

    def wake(self) -> None:
        """Tell those who wait that something was stored."""
        waiters = self.tools.waiters
        if self.log.lane is Lane.LIVE:
            waiters.wake(self.log.queue_id, self.log.partition)
        else:
            waiters.on_delayed(self.log.queue_id)


class Writers:
    """The writers that have something to do."""

    def __init__(self, tools: Tools, rounds: dict[LogKind, Round]) -> None:
        self.tools = tools
        self.rounds = rounds
        self._writers: dict[LogAddress, Writer] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, log: LogAddress, kind: LogKind, entries: Iterable[Entry]) -> None:
        """Hand entries to the log's writer."""
        if log.lane is Lane.DELAYED:
            self.tools.undelayed.forget(log)
        writer = self._writers.get(log)
        if writer is not None:
            writer.submit(entries)
            return
        writer = self._writers[log] = Writer(self, log, kind)
        writer.submit(entries)
        task = asyncio.get_running_loop().create_task(writer.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def undecided(self, log: LogAddress) -> MessageId | None:
        """Return the lowest id of this log that one of this node's appends has not decided."""
        writer = self._writers.get(log)
        return None if writer is None else writer.undecided

    def is_busy(self, log: LogAddress) -> bool:
        """Is something under way to this log?"""
        return log in self._writers

    def forget(self, writer: Writer) -> None:
        """Let go of a writer that has nothing to do."""
        del self._writers[writer.log]

    @property
    def busy(self) -> int:
        """How many logs are being written."""
        return len(self._writers)

    async def close(self) -> None:
        """Wait until all that was handed in is decided."""
        while self._tasks:
            await asyncio.wait(self._tasks)


class Backoff:
    """Growing pauses between attempts, none of them beyond the deadline."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pause_s = RETRY_FIRST_S

    async def pause(self, deadline_s: float) -> bool:
        """Wait before the next attempt; ``False`` at once when the deadline is nearer than that."""
        if self._clock.monotonic_s() + self._pause_s >= deadline_s:
            return False
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, RETRY_MAX_S)
        return True
