"""Is this node's clock good enough for plain logs?  Measured against the store's hosts by round trip."""

from __future__ import annotations

import asyncio
from typing import Final

from common.clock import Clock
from common.identifiers import TICKS_PER_MS
from common.limits import LATE_WINDOW_MS
from storage_node.store.interface import HostClocks, HostTime

__all__ = ["ClockCheck", "HostClocks", "HostTime"]

MEASURE_S: Final = 1.0
GOOD_FOR_S: Final = LATE_WINDOW_MS / 1000
ERROR_TICKS_MAX: Final = LATE_WINDOW_MS * TICKS_PER_MS // 4


class ClockCheck:
    """Holds the last good measurement.  Without a source of time every clock is good: no log rests on it then."""

    def __init__(self, clock: Clock, source: HostClocks | None) -> None:
        self._clock = clock
        self._source = source
        self._good_until_s = float("-inf")

    def sure(self) -> bool:
        """Was there a good measurement in the last D?"""
        return self._source is None or self._clock.monotonic_s() < self._good_until_s

    async def measure(self) -> None:
        """Measure once; only a measurement surely within D/4 at every host that answered counts."""
        if self._source is None:
            return
        began_s = self._clock.monotonic_s()
        times = await self._source.read_clocks()
        if times and all(_error_ticks(time) <= ERROR_TICKS_MAX for time in times):
            self._good_until_s = began_s + GOOD_FOR_S

    async def run(self) -> None:
        """Measure every second until cancelled."""
        while self._source is not None:
            await self.measure()
            await asyncio.sleep(MEASURE_S)


def _error_ticks(time: HostTime) -> int:
    """Return the most by which the clocks can differ."""
    half = (time.received_ticks - time.sent_ticks + 1) // 2
    return abs(time.host_ticks - (time.sent_ticks + half)) + half
