"""What one seed does: which promise is tried, with which features, and how hostile the world is."""

from __future__ import annotations

import random
from typing import NamedTuple

from common.guarantees import Guarantee, LogKind, Ordering
from common.protocol.operations import QueueSettings
from common.settings import ApplicationSettings

APPLICATION = "sim"
QUEUE = "work"
GROUP = "default"
HOSTILE_S = 40.0
SKEW_S_MAX = 1.2
"""Just below D/4."""


class Scenario(NamedTuple):
    """The features of one run."""

    seed: int
    guarantee: Guarantee
    log: LogKind | None
    strict: bool
    partitions: int
    nodes: int
    messages: int
    seek: bool
    end: bool
    delays: bool
    give_back: bool
    max_deliveries: int
    lease_s: float
    rough: float
    step_pauses: float
    publish_hard: bool
    """Nodes are often paused between stamping and writing."""
    keyed: float
    """Share of publishes under a client's key."""
    rolls: bool = False
    """Buckets hold few messages and little time."""
    recreate: bool = False
    """The queue is deleted and made again under its name."""
    ttl: bool = False
    """Some messages live for seconds only; what has expired is erased."""
    grow: bool = False
    """Partitions are added under load."""
    redrive: bool = False
    """Dead letters are brought back again and again."""
    delay_ms: tuple[int, ...] = (1_000, 8_000)
    rewinds: int = 1
    drains: float = 0.0
    """Share of harms that are orderly ends of a node."""
    calm: bool = False
    """No harm but one orderly end, of a node that does not come back."""
    acks_with_claims: bool = False
    """Some receipts are acked in the call of the next claim."""

    @property
    def applications(self) -> dict[str, ApplicationSettings]:
        return {APPLICATION: ApplicationSettings(guarantee=self.guarantee, log=self.log)}

    @property
    def settings(self) -> QueueSettings:
        return QueueSettings(
            partitions=self.partitions,
            lease_ms=round(self.lease_s * 1000),
            max_deliveries=self.max_deliveries or None,
            dead_letter_queue="dead" if self.max_deliveries else None,
            ordering=Ordering.STRICT if self.strict else None,
        )

    @property
    def leases(self) -> bool:
        return self.guarantee is not Guarantee.AT_MOST_ONCE


def draw(seed: int) -> Scenario:
    """Draw a scenario: whole features are switched off at random, so that each is also tried alone."""
    r = random.Random(seed * 7919 + 1)
    guarantee = list(Guarantee)[seed % 3]
    leases = guarantee is not Guarantee.AT_MOST_ONCE
    strict = leases and r.random() < 0.15
    seek = leases and not strict and r.random() < 0.25
    fenced = r.random() < 0.2
    scenario = Scenario(
        seed=seed,
        guarantee=guarantee,
        log=LogKind.FENCED if fenced and guarantee is not Guarantee.EXACTLY_ONCE else None,
        strict=strict,
        partitions=1 if strict or r.random() < 0.8 else 2,
        nodes=2 if r.random() < 0.8 else 3,
        messages=r.choice((6, 12, 20)),
        seek=seek,
        end=not seek and not strict and r.random() < 0.25,
        delays=r.random() < 0.2,
        give_back=r.random() < 0.3,
        max_deliveries=3 if leases and not seek and r.random() < 0.1 else 0,
        lease_s=r.choice((3.0, 5.0)),
        rough=r.choice((0.3, 1.0, 2.0)),
        step_pauses=r.choice((0.0, 0.0005, 0.002)),
        publish_hard=r.random() < 0.3,
        keyed=0.3,
    )
    return _with_upheavals(scenario, r)


def _with_upheavals(scenario: Scenario, r: random.Random) -> Scenario:
    """Add what changes the queue and the nodes under load."""
    recreate = not scenario.seek and not scenario.end and not scenario.max_deliveries and r.random() < 0.15
    redrive = bool(scenario.max_deliveries) and not scenario.strict and r.random() < 0.7
    calm = r.random() < 0.04
    return scenario._replace(
        rolls=r.random() < 0.3,
        recreate=recreate,
        ttl=r.random() < 0.15,
        grow=not scenario.strict and not recreate and r.random() < 0.2,
        redrive=redrive,
        max_deliveries=r.choice((1, 2, 3)) if redrive else scenario.max_deliveries,
        rewinds=r.choice((1, 1, 2, 3)),
        drains=r.choice((0.0, 0.3, 0.6)),
        keyed=0.0 if recreate else scenario.keyed,
        calm=calm,
        rough=0.0 if calm else scenario.rough,
        step_pauses=0.0 if calm else scenario.step_pauses,
        publish_hard=scenario.publish_hard and not calm,
        acks_with_claims=scenario.leases and r.random() < 0.4,
    )
