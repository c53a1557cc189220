"""Whether a front end has more calls under way than it and its nodes keep up with.

Where all goes well, the fastest of the calls of a tenth of a second comes back at once.  When even that one took
long, every call stands in a queue somewhere, and one call more only makes the queue longer.
"""

from __future__ import annotations

import math
from typing import Final

WINDOW_S: Final = 0.1
"""Seconds over which the fastest call is looked for."""
STANDING_S: Final = 0.06
"""Seconds that the fastest call may take before all are taken to stand in a queue."""
STALE_S: Final = 1.0
"""Seconds after which what was measured says nothing any more."""


class Pressure:
    """The fastest calls of this window and of the one before."""

    __slots__ = ("_before_s", "_begun_s", "_least_s")

    def __init__(self) -> None:
        self._begun_s = -math.inf
        self._least_s = 0.0
        self._before_s = 0.0

    def note(self, took_s: float, now_s: float) -> None:
        """Take in how long a call took that ended now."""
        if now_s - self._begun_s > WINDOW_S:
            self._begun_s, self._before_s, self._least_s = now_s, self._least_s, took_s
        elif took_s < self._least_s:
            self._least_s = took_s

    def is_high(self, now_s: float) -> bool:
        """Say whether calls stand in a queue."""
        return self._before_s > STANDING_S and self._least_s > STANDING_S and now_s - self._begun_s < STALE_S
