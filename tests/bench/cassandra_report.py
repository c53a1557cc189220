"""What the benches on Cassandra share: medians of what is done in turns, and where a result is left."""

from __future__ import annotations

import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import msgspec


class Medians:
    """Seconds of several things that are done in turns."""

    def __init__(self, *, warm_up: int = 0) -> None:
        self._warm_up = warm_up
        self._seconds: dict[str, list[float]] = defaultdict(list)

    def note(self, name: str, seconds: float) -> None:
        """Count one."""
        self._seconds[name].append(seconds)

    def of(self, name: str) -> float:
        """Return the median in seconds."""
        return statistics.median(self._seconds[name][self._warm_up :])

    @property
    def ms(self) -> dict[str, float]:
        """All medians in milliseconds."""
        return {name: round(self.of(name) * 1000, 2) for name in self._seconds}

    @property
    def spread(self) -> float:
        """The slowest of them over the fastest."""
        return round(max(map(self.of, self._seconds)) / min(map(self.of, self._seconds)), 2)


def keep(name: str, result: Mapping[str, object]) -> None:
    """Print a result and leave it in ``var/bench-<name>.json``."""
    whole = {**result, "cores": os.cpu_count(), "load_average": round(os.getloadavg()[0], 1)}
    text = msgspec.json.format(msgspec.json.encode(whole)) + b"\n"
    Path("var").mkdir(exist_ok=True)
    Path(f"var/bench-{name}.json").write_bytes(text)
    sys.stdout.write(text.decode())
