"""Connections as the node sees them: what each is owed, and how old its requests are.  No sockets, no clock.

Two machines' clocks are never compared.  The least difference between arrival and ``sent`` that a connection
showed lately belongs to a request that hardly waited; what another one shows above it is how long that one waited
in buffers.  A node that was frozen for a while so knows which of the requests it then finds are out of date.  A
wrong guess is harmless: refusing late requests spares work, no guarantee rests on it.
"""

from __future__ import annotations

from asyncio import Future
from typing import Final

import msgspec

from common.protocol.failures import Failure
from storage_node.log.waiters import Ending

OFFSET_WINDOW_MS: Final = 5_000
"""Milliseconds after which an observed offset begins to be forgotten: clocks drift and machines are suspended."""


class OffsetFilter:
    """The least of the differences seen in this window and the one before."""

    def __init__(self) -> None:
        self._began_ms = 0
        self._before: int | None = None
        self._current: int | None = None

    def waited_ms(self, sent_ms: int, now_ms: int) -> int:
        """Return how long a request that arrives now was under way beyond what is usual on its connection."""
        offset = now_ms - sent_ms
        if now_ms - self._began_ms > OFFSET_WINDOW_MS:
            self._began_ms = now_ms
            self._before, self._current = self._current, offset
        elif self._current is None or offset < self._current:
            self._current = offset
        least = offset if self._current is None else self._current
        if self._before is not None and self._before < least:
            least = self._before
        return offset - least


class Call:
    """One request that is owed an answer."""

    __slots__ = (
        "bytes",
        "ending",
        "future",
        "operation",
        "patience",
        "peer",
        "reads_only",
        "request_id",
        "silent",
        "waiting",
    )

    def __init__(
        self, peer: Peer, request_id: int, *, operation: str, waiting: bool, reads_only: bool, size: int
    ) -> None:
        self.peer = peer
        self.request_id = request_id
        self.operation = operation
        self.waiting = waiting
        self.reads_only = reads_only
        self.bytes = size
        self.future: Future[msgspec.Struct] | None = None
        self.silent = False
        """Nobody is there for an answer."""
        self.ending: Failure | None = None
        """What to answer if it is cancelled."""
        self.patience = Ending() if waiting else None
        """Ends its wait."""

    def cancel(self, ending: Failure | None) -> None:
        """Stop working on it and answer ``ending``, or nothing."""
        self.ending = ending
        self.silent = ending is None
        if self.future is not None:
            self.future.cancel()


class Peer:
    """One connection of one front-end process."""

    __slots__ = ("calls", "heard_s", "identity", "offset")

    def __init__(self, identity: bytes) -> None:
        self.identity = identity
        self.offset = OffsetFilter()
        self.calls: dict[int, Call] = {}
        self.heard_s = 0.0

    def is_waiting(self) -> bool:
        """Say whether any of its requests may take long without anything being wrong."""
        return any(call.waiting for call in self.calls.values())
