"""The whole path under every harm that a seed draws; and that the harm is enough to notice a rule that is missing."""

from __future__ import annotations

import pytest

from tests.simulation.ablations import ABLATIONS, NOTICED
from tests.simulation.run import Run, run_seed
from tests.simulation.scenario import draw

FIRST_SEEDS = 200
CHUNK = 25


@pytest.mark.parametrize("first", range(1, FIRST_SEEDS + 1, CHUNK))
def test_no_seed_breaks_a_promise(first: int) -> None:
    """What clients saw agrees with the guarantee, whatever was lost, late, paused or crashed."""
    failed = {seed: found for seed in range(first, first + CHUNK) if (found := run_seed(seed))}
    assert not failed, f"replay: python -m tests.simulation --seeds {min(failed)}  # {failed}"


def test_a_seed_always_runs_the_same_way() -> None:
    """A failing seed can be replayed: two runs show the same history."""
    runs = [Run(draw(11)), Run(draw(11))]
    for run in runs:
        run.run()
    assert runs[0].clients.history == runs[1].clients.history


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(ABLATIONS))
def test_a_rule_that_is_switched_off_is_noticed(name: str) -> None:
    """Within 500 seeds the simulation sees that the rule is missing, and sees nothing when it is there."""
    ablation = ABLATIONS[name]
    seed = ablation.noticed_at(first=NOTICED.get(name, 1), seeds=500)
    assert seed is not None, f"nothing notices that {ablation.rule}"
    assert run_seed(seed, change=ablation.change) == [], "with the rule the same seed is clean"
