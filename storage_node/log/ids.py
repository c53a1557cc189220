"""Stamping ids: strictly increasing on one node, never far ahead of its clock."""

from __future__ import annotations

import random
from typing import Final

from common.clock import Clock
from common.identifiers import TICKS_PER_MS
from common.limits import LATE_WINDOW_MS
from common.protocol.failures import Code, FailureError, refuse

AHEAD_TICKS_MAX: Final = LATE_WINDOW_MS * TICKS_PER_MS // 4
"""D/4: how far an id may be ahead of the node's own clock."""

_VARIANT: Final = 0x8000
_DELAYED_BIT: Final = 1
_MULTICAST_BIT: Final = 1 << 40


class Stamper:
    """One per process: ids of all partitions come out of one ascending series, so idle partitions need no memory.

    The low half of an id (clock sequence, node) is random per process; that of a delayed message is random per
    message, because due times are no series.  The lowest bit of the clock sequence tells the lanes apart.
    """

    def __init__(self, clock: Clock, rng: random.Random, *, floor_ticks: int = 0) -> None:
        """``floor_ticks``: what an earlier process may have stamped or promised; the series begins above it."""
        self._clock = clock
        self._rng = rng
        self._last = floor_ticks
        self.highest = floor_ticks
        """The latest tick stamped: one that another node's id called for leads the series, and does not move it."""
        self._sequence = _VARIANT | (rng.getrandbits(13) << 1)
        self.live_low: Final = _low(self._sequence, rng.getrandbits(48))

    def stamp(self, count: int = 1, *, above: int = 0) -> int:
        """Return the first of ``count`` consecutive ticks, all later than ``above`` and than every one before.

        Raises:
            FailureError: ``CLOCK_UNSURE``, the clock is more than D/4 behind what was stamped already.
        """
        now = self._clock.now_ticks()
        series = max(now, self._last + 1)
        first = max(series, above + 1)
        last = first + count - 1
        if last - now > AHEAD_TICKS_MAX:
            raise self._unsure(last - now)
        if first == series:
            self._last = last
        self.highest = max(self.highest, last)
        return first

    def mark(self) -> int:
        """Return a tick, not later than now or what was stamped, below which nothing will be stamped any more."""
        self._last = max(self._last, self._clock.now_ticks())
        return self._last

    def delayed_low(self) -> bytes:
        """Return the low half of a delayed message's id."""
        return _low(self._sequence | _DELAYED_BIT, self._rng.getrandbits(48))

    @staticmethod
    def _unsure(ahead_ticks: int) -> FailureError:
        text = "The node's clock went back, or is behind that of other nodes."
        return refuse(Code.CLOCK_UNSURE, "clock", text, (ahead_ticks - AHEAD_TICKS_MAX) // TICKS_PER_MS + 1)


def _low(sequence: int, node: int) -> bytes:
    return sequence.to_bytes(2, "big") + (node | _MULTICAST_BIT).to_bytes(6, "big")
