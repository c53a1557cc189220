"""More publishers than the system carries; ``make faults-overload`` is the long run."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Final

from tests.fault.doors.overload import REFUSED_S_MAX, measure
from tests.support.deployment import deployed

TIMES: Final = {"accepted p99 beyond 5.0 times the calm one", "refusals were slow", "slow afterwards"}
"""What a few seconds beside other tests can't judge."""

STARVED_PER_S: Final = 300
"""A machine that carries less is busy with other things, which every answer waits for."""


def test_what_is_too_much_is_refused_at_once(tmp_path: Path) -> None:
    """Nothing breaks, refusals come soon, memory is bounded, and it is calm again afterwards."""
    with deployed(tmp_path) as deployment:
        figures = measure(deployment, seconds=3, calm_seconds=2)
        log = deployment.front.log(100_000)
    faults = set(figures.faults()) - TIMES
    assert not faults, (faults, figures.lines())
    if figures.capacity_per_s > STARVED_PER_S:
        assert median(figures.overload.refused_s) < 3 * REFUSED_S_MAX, figures.lines()
    assert '"front_end_overloaded"' in log
