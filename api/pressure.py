"""Whether a front end has more calls under way than it and its nodes keep up with.

Where all goes well, the fastest of the calls of a tenth of a second takes about what its kind takes on a good day.
When even that one was much slower, every call stands in a queue somewhere, and one call more only makes it longer.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Final

WINDOW_S: Final = 0.1
"""Seconds over which the fastest call is looked for."""
STANDING_S: Final = 0.06
"""Seconds that the fastest call may take beyond its good day before all are taken to stand in a queue."""
GOOD_DAY_S_MAX: Final = 0.5
"""Seconds that no store needs by itself, also across data centres: what takes longer stood in a queue."""
FORGET_S: Final = 60.0
"""Seconds in which what was seen on a good day grows e-fold, so that a slower store is believed in the end."""
STALE_S: Final = 1.0
"""Seconds after which what was measured says nothing any more."""


class Pressure:
    """The least delays of this window and of the one before."""

    __slots__ = ("_before_s", "_begun_s", "_good_day", "_least_s")

    def __init__(self) -> None:
        self._good_day: dict[Hashable, tuple[float, float]] = {}
        """Per kind of call: seconds that the fastest took, and when that was noted."""
        self._begun_s = -math.inf
        self._least_s = 0.0
        self._before_s = 0.0

    def note(self, kind: Hashable, took_s: float, now_s: float) -> None:
        """Take in how long a call took that ended now; there are few kinds, and their calls take about as long."""
        usual_s, noted_s = self._good_day.get(kind, (GOOD_DAY_S_MAX, now_s))
        usual_s = min(took_s, usual_s * (1 + (now_s - noted_s) / FORGET_S), GOOD_DAY_S_MAX)
        self._good_day[kind] = usual_s, now_s
        delay_s = took_s - usual_s
        if now_s - self._begun_s > WINDOW_S:
            self._begun_s, self._before_s, self._least_s = now_s, self._least_s, delay_s
        elif delay_s < self._least_s:
            self._least_s = delay_s

    def is_high(self, now_s: float) -> bool:
        """Say whether calls stand in a queue."""
        return self._before_s > STANDING_S and self._least_s > STANDING_S and now_s - self._begun_s < STALE_S
