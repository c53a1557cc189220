"""Time is an argument: the only module that reads a clock.

Wall time is counted in UUID ticks (100 ns since 1582-10-15), the unit of message ids, so that no rule converts
between units.  Monotonic time is float seconds and serves only to measure how long something took on one node.
"""

from __future__ import annotations

import time
from typing import Final, Protocol

from common.identifiers import TICKS_PER_MS, UUID_EPOCH_TICKS


class Clock(Protocol):
    """What a component may know of time; the simulation passes skewed and paused ones."""

    def now_ticks(self) -> int:
        """Return this machine's wall time in UUID ticks; may step."""

    def monotonic_s(self) -> float:
        """Return seconds that never run backwards; comparable on one process only."""


class SystemClock:
    """The clock of the machine."""

    def now_ticks(self) -> int:
        """Return the wall time in UUID ticks."""
        return time.time_ns() // 100 + UUID_EPOCH_TICKS

    def monotonic_s(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()


SYSTEM_CLOCK: Final[Clock] = SystemClock()


def ticks_to_unix_ms(ticks: int) -> int:
    """Return Unix milliseconds, rounded down."""
    return (ticks - UUID_EPOCH_TICKS) // TICKS_PER_MS


def unix_ms_to_ticks(unix_ms: int) -> int:
    """Return UUID ticks of a Unix time in milliseconds."""
    return unix_ms * TICKS_PER_MS + UUID_EPOCH_TICKS
