"""A clock that stands until it is moved."""

from __future__ import annotations

from common.identifiers import TICKS_PER_MS, TICKS_PER_SECOND, UUID_EPOCH_TICKS

START_TICKS = 1_800_000_000 * TICKS_PER_SECOND + UUID_EPOCH_TICKS
"""Some time in 2027."""


class ManualClock:
    """Wall and monotonic time that move together when told to; the wall may be set apart."""

    def __init__(self, start_ticks: int = START_TICKS) -> None:
        self._ticks = start_ticks
        self._monotonic_s = 0.0

    def now_ticks(self) -> int:
        """Return the wall time."""
        return self._ticks

    def monotonic_s(self) -> float:
        """Return the monotonic seconds."""
        return self._monotonic_s

    def advance(self, *, ms: int = 0, ticks: int = 0) -> None:
        """Let time pass."""
        passed = ms * TICKS_PER_MS + ticks
        self._ticks += passed
        self._monotonic_s += passed / TICKS_PER_SECOND

    def step(self, *, ms: int) -> None:
        """Set the wall clock forward or back, as an administrator does; monotonic time does not move."""
        self._ticks += ms * TICKS_PER_MS
