"""Requests per minute of the links that name a rate: a token bucket each, in this process's memory.

A machine's front-end processes share a rate evenly, so together they never let more through on average.  Up to ten
seconds' worth may come at once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from api.auth.errors import AuthCode, AuthError
from api.auth.links import Link
from common.limits import LINK_RATES_TRACKED_MAX

_MINUTE_MS: Final = 60_000
_BURST_MS: Final = 10_000


class LinkRates:
    """The buckets of one application's links; the least recently used is forgotten when there are too many."""

    def __init__(self, processes: int) -> None:
        """Take the number of front-end processes of this machine, 1 or more."""
        self._processes = processes
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def use(self, link: Link, *, now_ms: int) -> None:
        """Count one request of a link.

        Raises:
            AuthError: ``link_rate_exceeded``, with the time after which the next one passes.
        """
        if link.requests_per_minute is None:
            return
        per_ms = link.requests_per_minute / self._processes / _MINUTE_MS
        with self._lock:
            left = self._left(link.link_id, per_ms, now_ms)
            passes = left >= 1
            self._buckets[link.link_id] = (left - passes, now_ms)
            self._buckets.move_to_end(link.link_id)
            if len(self._buckets) > LINK_RATES_TRACKED_MAX:
                self._buckets.popitem(last=False)
        if not passes:
            raise AuthError(
                AuthCode.LINK_RATE_EXCEEDED,
                "the link is used more often than its rate allows",
                retry_after_ms=int((1 - left) / per_ms) + 1,
            )

    def _left(self, link_id: str, per_ms: float, now_ms: int) -> float:
        full = max(1.0, per_ms * _BURST_MS)
        left, at_ms = self._buckets.get(link_id, (full, now_ms))
        return min(full, left + max(0, now_ms - at_ms) * per_ms)
