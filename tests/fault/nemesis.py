"""What is done to the system, and when: a pure function of the seed.

The schedule has lanes.  Within a lane one fault ends before the next begins; lanes overlap, so a node may be paused
while a link is cut and a Cassandra node is down.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final, NamedTuple


class Kind(StrEnum):
    """What can happen."""

    KILL = "kill -9"
    PAUSE = "SIGSTOP, then SIGCONT"
    RESTART = "restart by SIGTERM"
    ROLL = "rolling restart by SIGTERM"
    SCALE = "storage nodes from 3 to 1, 4, 2 and back"
    KILL_STORE = "kill -9 of a Cassandra node"
    PAUSE_STORE = "SIGSTOP of a Cassandra node"
    PAUSE_MAJORITY = "SIGSTOP of two Cassandra nodes"
    KILL_MAJORITY = "kill -9 of two Cassandra nodes"
    CUT = "link cut"
    HOLD = "link held, delivered later"
    DELAY = "link delayed"
    CLOCK = "clock moved"


class Lane(StrEnum):
    """What takes turns."""

    PROCESSES = "processes"
    STORES = "stores"
    LINKS = "links"
    CLOCK = "clock"


class Fault(NamedTuple):
    """One fault: when it is due, on what, and for how long."""

    at_s: float
    kind: Kind
    targets: tuple[str, ...]
    for_s: float
    amount: float = 0.0
    """Seconds of a delay or of a clock's move."""


SERVICES: Final = ("node1", "node2", "node3", "front1", "front2")
STORES: Final = ("cassandra1", "cassandra2", "cassandra3")
CLOCK_S_MAX: Final = 2.0
SCALES: Final = (1, 4, 2, 3)
"""Storage nodes, one number after the other."""
SCALE_S: Final = 6.0
"""Seconds with each number."""


def schedule(seed: int, seconds: float) -> dict[Lane, list[Fault]]:
    """Return the faults of a run; those of a lane are in order and none is due after its end."""
    drawers = {
        Lane.PROCESSES: (_process_faults, 6.0),
        Lane.STORES: (_store_faults, 18.0),
        Lane.LINKS: (_link_faults, 6.0),
        Lane.CLOCK: (_clock_faults, 25.0),
    }
    return {
        lane: _lane(random.Random(f"{seed} {lane}"), seconds, draw, pause_s=pause_s)
        for lane, (draw, pause_s) in drawers.items()
    }


def _lane(
    rng: random.Random, seconds: float, draw: Callable[[random.Random, float], Iterator[Fault]], *, pause_s: float
) -> list[Fault]:
    found: list[Fault] = []
    at_s = rng.uniform(2.0, 6.0)
    longest_s = min(60.0, seconds / 5)
    for fault in draw(rng, longest_s):
        if at_s + fault.for_s > seconds:
            break
        found.append(fault._replace(at_s=at_s))
        at_s += fault.for_s + rng.uniform(0.3, 1.7) * pause_s
    return found


def _process_faults(rng: random.Random, longest_s: float) -> Iterator[Fault]:
    while True:
        drawn = rng.random()
        if drawn < 0.35:
            yield Fault(0, Kind.KILL, (rng.choice(SERVICES),), rng.choice((0.0, 0.5, 3.0)))
        elif drawn < 0.75:
            yield Fault(0, Kind.PAUSE, (rng.choice(SERVICES),), _length(rng, longest_s))
        elif drawn < 0.87:
            yield Fault(0, Kind.RESTART, (rng.choice(SERVICES),), 0.0)
        elif drawn < 0.92:
            yield Fault(0, Kind.ROLL, rng.choice((SERVICES[:3], SERVICES[3:])), 0.0)
        else:
            yield Fault(0, Kind.SCALE, (), SCALE_S * len(SCALES))


def _store_faults(rng: random.Random, longest_s: float) -> Iterator[Fault]:
    while True:
        drawn = rng.random()
        two = tuple(rng.sample(STORES, 2))
        if drawn < 0.45:
            yield Fault(0, Kind.PAUSE_STORE, two[:1], _length(rng, longest_s))
        elif drawn < 0.70:
            yield Fault(0, Kind.KILL_STORE, two[:1], rng.uniform(0, 5))
        elif drawn < 0.90:
            yield Fault(0, Kind.PAUSE_MAJORITY, two, _length(rng, longest_s / 3))
        else:
            yield Fault(0, Kind.KILL_MAJORITY, two, rng.uniform(0, 3))


def _link_faults(rng: random.Random, longest_s: float) -> Iterator[Fault]:
    while True:
        targets = _links(rng)
        for_s = _length(rng, longest_s / 2)
        kind = rng.choice((Kind.CUT, Kind.HOLD, Kind.DELAY))
        yield Fault(0, kind, targets, for_s, rng.choice((0.1, 0.5, 1.0, 2.0)) if kind is Kind.DELAY else 0.0)


def _clock_faults(rng: random.Random, longest_s: float) -> Iterator[Fault]:
    while True:
        yield Fault(0, Kind.CLOCK, ("node1",), _length(rng, longest_s), rng.uniform(-CLOCK_S_MAX, CLOCK_S_MAX))


def _links(rng: random.Random) -> tuple[str, ...]:
    """One pair, or all links of one node on one side, each written ``caller>target``."""
    node, front, store = rng.choice(SERVICES[:3]), rng.choice(SERVICES[3:]), rng.choice(STORES)
    return rng.choice(
        (
            (f"{front}>{node}",),
            tuple(f"{each}>{node}" for each in SERVICES[3:]),
            (f"{node}>{store}",),
            tuple(f"{node}>{each}" for each in STORES),
        )
    )


def _length(rng: random.Random, longest_s: float) -> float:
    """Return 1 s up to the longest, short ones more often."""
    return float(max(1.0, longest_s) ** rng.random())
