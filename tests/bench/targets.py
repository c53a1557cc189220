"""What is aimed at: one row per promise of speed, measured in every round and judged by the median."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from tests.bench.load import Sample

Measure = Callable[[Sample, Sample], float]


class Target(NamedTuple):
    """One row; ``measure`` takes the bench's sample and that of ``against`` in the same round."""

    text: str
    bench: str
    against: str
    measure: Measure
    bound: float
    at_most: bool = False

    def values(self, samples: Mapping[str, Sequence[Sample]]) -> list[float]:
        """Return what every round showed; nothing if one of the two did not run."""
        if self.bench not in samples or self.against not in samples:
            return []
        return [self.measure(*pair) for pair in zip(samples[self.bench], samples[self.against], strict=True)]

    def is_met(self, value: float) -> bool:
        """Say whether a value is good enough."""
        return value <= self.bound if self.at_most else value >= self.bound


def _requests(one: Sample, other: Sample) -> float:
    return one.requests_per_s / other.requests_per_s


def _messages(one: Sample, other: Sample) -> float:
    return one.messages_per_s / other.messages_per_s


def _cpu(one: Sample, other: Sample) -> float:
    return (one.front_us + one.node_us) / other.front_us


def _tail(one: Sample, _: Sample) -> float:
    return one.p99_ms / one.p50_ms


def _p50(one: Sample, _: Sample) -> float:
    return one.p50_ms


def _p99(one: Sample, _: Sample) -> float:
    return one.p99_ms


def _kilobytes_each(one: Sample, _: Sample) -> float:
    return one.bytes_each / 1_000


def _of_alone(one: Sample, _: Sample) -> float:
    return one.of_alone


TARGETS: Final = (
    Target("publish 1 a request: rate of bare Flask", "publish1", "bare", _requests, 0.60),
    Target("publish 1: CPU of front end and node of bare Flask's", "publish1", "bare", _cpu, 1.7, at_most=True),
    Target("publish 1: p99 of p50", "publish1", "publish1", _tail, 6, at_most=True),
    Target("publish 100 a request: rate of raw SQLite", "publish100", "raw-sqlite", _messages, 0.30),
    Target("claim 1 and ack the one before: rate of bare Flask", "claim1ack1", "bare", _messages, 0.45),
    Target("claim 100, ack 100: rate of publish 100", "claim100ack100", "publish100", _messages, 0.80),
    Target(
        "claim 100, ack 100, exactly_once: rate of at_least_once",
        "claim100ack100-exactly-once",
        "claim100ack100",
        _messages,
        0.50,
    ),
    Target("read 100: rate of publish 100", "read100", "publish100", _messages, 1.30),
    Target("publish to a waiting claim: p50, ms", "latency", "latency", _p50, 3, at_most=True),
    Target("publish to a waiting claim: p99, ms", "latency", "latency", _p99, 15, at_most=True),
    Target("create queues with a first message: requests of bare Flask", "create", "bare", _requests, 0.30),
    Target("5,000 idle long polls: kB each", "idle-polls", "idle-polls", _kilobytes_each, 40, at_most=True),
    Target("5,000 idle long polls: publish rate of without", "idle-polls", "idle-polls", _of_alone, 0.90),
    Target("5,000 idle event streams: kB each", "idle-streams", "idle-streams", _kilobytes_each, 40, at_most=True),
    Target("5,000 idle event streams: publish rate of without", "idle-streams", "idle-streams", _of_alone, 0.90),
)
