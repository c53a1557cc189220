"""The floor: what readers of a store of one node were promised outlives the node and its clock.

``complete_until`` follows the node's clock there.  A node that starts again with its clock set back must not stamp an
id below what its predecessor promised, so the promise is kept in the store before it is given.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from common.clock import Clock
from common.identifiers import TICKS_MAX, TICKS_PER_MS, TICKS_PER_SECOND
from common.limits import LATE_WINDOW_MS
from storage_node.store.errors import StoreError
from storage_node.store.interface import KeepsFloor, Store

AHEAD_TICKS: Final = LATE_WINDOW_MS * TICKS_PER_MS // 10
"""How far beyond now the floor is kept: less than an id may be ahead, so that a quick restart refuses none."""
LEFT_TICKS_MIN: Final = AHEAD_TICKS // 2
"""It is raised anew, with nobody waiting, when less than about this is left of it."""
TRY_AGAIN_S: Final = 0.25
"""After a write that failed; until then promises stay where they are."""

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Floor:
    """Raised by whoever reads, at most a few times a second however many they are; an idle node writes nothing."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._keeper = store if isinstance(store, KeepsFloor) else None
        self._clock = clock
        self._raising: asyncio.Task[None] | None = None
        self._failed_s = float("-inf")
        self.ticks = TICKS_MAX if self._keeper is None else self._keeper.floor_ticks
        """No later node stamps at or below it; without bound where the store has other means."""
        self.found_ticks: Final = 0 if self._keeper is None else self.ticks
        """Where the predecessor left it."""

    def report(self) -> None:
        """Log how long nothing will be stamped, if the clock was set back since the predecessor ended."""
        behind_ticks = self.found_ticks - self._clock.now_ticks()
        if behind_ticks > AHEAD_TICKS:
            _log.warning("clock_set_back", behind_s=behind_ticks // TICKS_PER_SECOND, publishes="refused until then")

    async def bound(self, mark: int) -> int:
        """Return ``mark``, or what is sure of it where the floor can't be raised to it now."""
        ahead = max(mark, self._clock.now_ticks() + AHEAD_TICKS)
        if self.ticks < ahead - LEFT_TICKS_MIN:
            raising = self._raise(ahead)
            if self.ticks < mark and raising is not None:
                await asyncio.shield(raising)
        return min(mark, self.ticks)

    async def close(self) -> None:
        """Wait for a write under way."""
        if self._raising is not None:
            await self._raising

    def _raise(self, ticks: int) -> asyncio.Task[None] | None:
        """Return the write under way, a new one unless the last failed just now."""
        is_early = self._clock.monotonic_s() - self._failed_s < TRY_AGAIN_S
        if self._raising is None and self._keeper is not None and not is_early:
            self._raising = asyncio.get_running_loop().create_task(self._keep(self._keeper, ticks))
        return self._raising

    async def _keep(self, keeper: KeepsFloor, ticks: int) -> None:
        try:
            await keeper.raise_floor(ticks)
            self.ticks = max(self.ticks, ticks)
        except StoreError:
            self._failed_s = self._clock.monotonic_s()
        finally:
            self._raising = None
