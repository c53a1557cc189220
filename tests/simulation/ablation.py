"""What an ablation is: a rule, the scenarios that can show its absence, and how it is taken out of the real code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple

from common.guarantees import Guarantee
from tests.simulation.run import Run, run_seed
from tests.simulation.scenario import Scenario

Patch = Callable[[Run], AbstractContextManager[object]]


class Ablation(NamedTuple):
    """One rule switched off."""

    rule: str
    change: Callable[[Scenario], Scenario]
    patch: Patch

    def run(self, seed: int) -> list[str]:
        """Run one seed without the rule."""
        return run_seed(seed, change=self.change, ablation=self.patch)

    def noticed_at(self, *, first: int = 1, seeds: int = 500) -> int | None:
        """Return a seed that notices; ``first`` is asked before the others."""
        return next((seed for seed in (first, *range(1, seeds + 1)) if self.run(seed)), None)


@contextmanager
def swapped(*changes: tuple[Any, str, object]) -> Iterator[None]:
    """Put other values in the place of attributes, for a while."""
    with ExitStack() as stack:
        for owner, name, value in changes:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield


def of(guarantee: Guarantee, **features: Any) -> Callable[[Scenario], Scenario]:
    plainly: dict[str, Any] = {
        "guarantee": guarantee,
        "log": None,
        "strict": False,
        "seek": False,
        "end": False,
        "delays": False,
        "give_back": False,
        "max_deliveries": 0,
        "partitions": 1,
        "rough": 2.0,
        "rolls": False,
        "recreate": False,
        "ttl": False,
        "grow": False,
        "redrive": False,
        "rewinds": 1,
        "drains": 0.0,
        "calm": False,
        "keyed": 0.3 if guarantee is Guarantee.EXACTLY_ONCE else 0.0,
    }
    return lambda scenario: scenario._replace(**{**plainly, **features})


ALO, AMO, EO = Guarantee.AT_LEAST_ONCE, Guarantee.AT_MOST_ONCE, Guarantee.EXACTLY_ONCE


def changed_call(run: Run, changed: str, values: dict[str, object]) -> AbstractContextManager[None]:
    """Let every call of one kind reach the store with other arguments."""
    do = run.cluster.do

    def other(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        return do(name, args, {**kwargs, **values} if name == changed else kwargs)

    return swapped((run.cluster, "do", other))


def instead(run: Run, changed: str, call: Callable[..., object]) -> AbstractContextManager[None]:
    """Do something else than one kind of call of the store."""
    do = run.cluster.do

    def other(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        return call(*args, **kwargs) if name == changed else do(name, args, kwargs)

    return swapped((run.cluster, "do", other))
