"""Is this node's clock good enough for plain logs?  Measured against the store's hosts by round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from common.clock import Clock
from common.identifiers import TICKS_PER_MS
from common.limits import LATE_WINDOW_MS

MEASURE_S: Final = 1.0
GOOD_FOR_S: Final = LATE_WINDOW_MS / 1000
ERROR_TICKS_MAX: Final = LATE_WINDOW_MS * TICKS_PER_MS // 4


class HostTime(NamedTuple):
    """One host's clock, read between two moments of the node's own clock; all in UUID ticks."""

    sent_ticks: int
    host_ticks: int
    received_ticks: int


class HostClocks(Protocol):
    """What a store with plain logs offers besides ``Store``."""

    async def read_clocks(self) -> Sequence[HostTime]:
        """Read the clocks of several hosts; those that do not answer are left out."""


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
