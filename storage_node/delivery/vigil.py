"""What keeps watch for claims that wait: timers of the row, none of the clients.

Publishes wake waiting claims through the log.  Here are the ends of leases and due times, and, where several nodes
share a store, a slow look at the row for what other nodes did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from common.identifiers import TICKS_PER_SECOND
from storage_node.delivery import state as states
from storage_node.delivery.cell import Cell

RESCAN_S: Final = 5.0
"""Seconds between two looks at a waited-for row, where other nodes may change it."""
PAUSE_S: Final = 1.0
"""Seconds until what is due, and was not taken, wakes again."""


class Vigil:
    """The timers of one row; they run only while somebody waits."""

    def __init__(self, *, wake: Callable[[], None], look: Callable[[], None] | None) -> None:
        self._wake = wake
        self._look = look
        self._waiting = 0
        self._ready: asyncio.TimerHandle | None = None
        self._rescan: asyncio.TimerHandle | None = None
        self._fired_ticks: int | None = None

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._waiting

    @contextmanager
    def keep(self, cell: Cell) -> Iterator[None]:
        """Keep watch while somebody waits."""
        self._waiting += 1
        if self._waiting == 1:
            self._plan_rescan()
            self.rearm(cell)
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._stop()

    def rearm(self, cell: Cell) -> None:
        """Plan the next wake-up by what the state says now."""
        if self._ready is not None:
            self._ready.cancel()
            self._ready = None
        due = self._next(cell) if self._waiting else None
        if due is None:
            return
        delay_s = (due - cell.clock.now_ticks()) / TICKS_PER_SECOND
        if delay_s <= 0 and due == self._fired_ticks:
            delay_s = PAUSE_S
        self._ready = asyncio.get_running_loop().call_later(max(delay_s, 0), self._fire, cell, due)

    def _next(self, cell: Cell) -> int | None:
        due = states.next_ready(cell.state)
        if cell.strict and any(window.seen > window.sure for window in cell.windows.values()):
            soon = cell.clock.now_ticks() + int(PAUSE_S * TICKS_PER_SECOND)
            return soon if due is None else min(due, soon)
        return due

    def _fire(self, cell: Cell, due: int) -> None:
        self._ready = None
        self._fired_ticks = due
        self._wake()
        self.rearm(cell)

    def _plan_rescan(self) -> None:
        if self._look is not None:
            self._rescan = asyncio.get_running_loop().call_later(RESCAN_S, self._scan)

    def _scan(self) -> None:
        if self._look is not None:
            self._look()
        self._plan_rescan()

    def _stop(self) -> None:
        for timer in (self._ready, self._rescan):
            if timer is not None:
                timer.cancel()
        self._ready = self._rescan = None
