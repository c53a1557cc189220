"""How many calls a front end may have under way, so that those it takes are answered soon.

Where all goes well, the fastest of the calls of a twentieth of a second takes about what its kind takes on a good
day.  When even that one was much slower, every call stands in a queue somewhere, and one call more only makes it
longer.  Then as many are let in as would have waited ``STANDING_S``: by Little's law, calls under way and the time
each takes shrink together.  While calls are quick again the bound grows by a tenth with each such window.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Final

WINDOW_S: Final = 0.05
"""Seconds over which the fastest call is looked for."""
STANDING_S: Final = 0.01
"""Seconds that the fastest call may take beyond its good day before all are taken to stand in a queue."""
FEW: Final = 32
"""Calls under way that are never too many for one process."""
GROWTH: Final = 1.1
GOOD_DAY_S_MAX: Final = 0.5
"""Seconds that no store needs by itself, also across data centres: what takes longer stood in a queue."""
FORGET_S: Final = 60.0
"""Seconds in which what was seen on a good day grows e-fold, so that a slower store is believed in the end."""
STALE_S: Final = 1.0
"""Seconds after which what was measured says nothing any more."""


class Pressure:
    """The fastest call of this window, and the bound that those before it led to."""

    __slots__ = ("_begun_s", "_bound", "_good_day", "_least_s", "_most", "_usual_s")

    def __init__(self) -> None:
        self._good_day: dict[Hashable, tuple[float, float]] = {}
        """Per kind of call: seconds that the fastest took, and when that was noted."""
        self._bound = math.inf
        self._begun_s = -math.inf
        self._least_s = math.inf
        """Seconds beyond its good day of the call with the least, and ``_usual_s`` that good day."""
        self._usual_s = 0.0
        self._most = 0

    def note(self, kind: Hashable, took_s: float, now_s: float, *, in_flight: int) -> None:
        """Take in how long a call took that ended now; there are few kinds, and their calls take about as long."""
        usual_s, noted_s = self._good_day.get(kind, (GOOD_DAY_S_MAX, now_s))
        usual_s = min(took_s, usual_s * (1 + (now_s - noted_s) / FORGET_S), GOOD_DAY_S_MAX)
        self._good_day[kind] = usual_s, now_s
        if now_s - self._begun_s > WINDOW_S:
            self._turn(now_s)
        self._most = max(self._most, in_flight)
        if took_s - usual_s < self._least_s:
            self._least_s, self._usual_s = took_s - usual_s, usual_s

    def is_high(self, now_s: float, *, in_flight: int) -> bool:
        """Say whether one call more is too much."""
        return in_flight >= FEW and in_flight >= self._bound and now_s - self._begun_s < STALE_S

    def _turn(self, now_s: float) -> None:
        """Begin a window; what the last one showed moves the bound."""
        if now_s - self._begun_s > STALE_S:
            self._bound = math.inf
        elif self._least_s > STANDING_S:
            share = (self._usual_s + STANDING_S) / (self._usual_s + self._least_s)
            self._bound = max(float(FEW), min(self._bound, self._most) * share)
        else:
            self._bound *= GROWTH
        self._begun_s, self._least_s, self._most = now_s, math.inf, 0
