"""Rounds -> medians with their spread, and targets judged by them; as JSON and Markdown, beside a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

import msgspec

from tests.bench.benches import BENCHES, Bench
from tests.bench.load import Sample
from tests.bench.targets import TARGETS, Target


class Spread(msgspec.Struct, frozen=True):
    """The median of all rounds, and the lowest and highest of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(round(median(values), 3), round(min(values), 3), round(max(values), 3))


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One bench."""

    per_second: Spread
    unit: str
    p50_ms: Spread
    p99_ms: Spread
    front_us: Spread
    node_us: Spread
    load_us: Spread
    load_cores: Spread
    """Cores that the load generator used: well below 1, its one thread is not the bottleneck."""
    ceiling: str
    ratio: Spread | None
    cpu_ratio: Spread | None
    """CPU of front ends and node per request, divided by that of the bare endpoint in the same round."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One target."""

    bound: float
    at_most: bool
    measured: Spread
    met: bool
    """By the median."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    begun: str
    """UTC."""
    rounds: int
    seconds: float
    cores: int
    load_average: float
    """Of the machine when the run began: what else was going on."""
    lines: dict[str, Line]
    targets: dict[str, Judged]
    failed: dict[str, str] = {}
    """Benches that broke off in some round, and why."""


def line(name: str, samples: Mapping[str, Sequence[Sample]]) -> Line:
    """Sum one bench's rounds up; ratios are taken round by round."""
    bench, own = BENCHES[name], samples[name]
    ratio = cpu_ratio = None
    if bench.ceiling in samples:
        pairs = zip(own, samples[bench.ceiling], strict=True)
        above = BENCHES[bench.ceiling]
        ratio = Spread.of([rate(bench, one) / rate(above, other) for one, other in pairs])
    if "bare" in samples and own[0].front_us:
        pairs = zip(own, samples["bare"], strict=True)
        cpu_ratio = Spread.of([(one.front_us + one.node_us) / other.front_us for one, other in pairs])
    return Line(
        per_second=Spread.of([rate(bench, one) for one in own]),
        unit=bench.unit,
        p50_ms=Spread.of([one.p50_ms for one in own]),
        p99_ms=Spread.of([one.p99_ms for one in own]),
        front_us=Spread.of([one.front_us for one in own]),
        node_us=Spread.of([one.node_us for one in own]),
        load_us=Spread.of([one.load_us for one in own]),
        load_cores=Spread.of([one.load_us * one.requests_per_s / 1e6 for one in own]),
        ceiling=bench.ceiling,
        ratio=ratio,
        cpu_ratio=cpu_ratio,
    )


def judge(samples: Mapping[str, Sequence[Sample]]) -> dict[str, Judged]:
    """Return what became of every target that these samples tell of."""
    found = {target: target.values(samples) for target in TARGETS}
    return {target.text: _judged(target, values) for target, values in found.items() if values}


def _judged(target: Target, values: Sequence[float]) -> Judged:
    spread = Spread.of(values)
    return Judged(bound=target.bound, at_most=target.at_most, measured=spread, met=target.is_met(spread.median))


def rate(bench: Bench, sample: Sample) -> float:
    """Return the rate that counts."""
    return sample.requests_per_s if bench.unit == "requests" else sample.messages_per_s


def markdown(report: Report, baseline: Report | None) -> str:
    """Return the report as tables."""
    rows = [
        f"{report.begun}: {report.rounds} interleaved rounds of {report.seconds:g} s on {report.cores} cores that"
        f" load and service share (load average before: {report.load_average:.1f}).",
        f"Medians, lowest and highest round in brackets. {_noise(report)}",
        "",
        "| Target | aimed at | measured | | baseline |",
        "|---|---|---|---|---|",
    ]
    for text, one in report.targets.items():
        earlier = baseline.targets.get(text) if baseline else None
        sign = "<=" if one.at_most else ">="
        rows.append(
            f"| {text} | {sign} {one.bound:g} | {_ratio(one.measured)} | {'met' if one.met else '**missed**'}"
            f" | {_ratio(earlier.measured) if earlier else '-'} |"
        )
    rows += [
        "",
        "| Bench | per second | p50 / p99 ms | CPU us a request: front, node, load | cores of load | CPU of bare"
        " | of its ceiling | baseline |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, measured in report.lines.items():
        before = baseline.lines.get(name) if baseline else None
        rows.append(
            f"| {name} | {_whole(measured.per_second)} {measured.unit}"
            f" | {measured.p50_ms.median:.1f} / {measured.p99_ms.median:.1f}"
            f" | {measured.front_us.median:.0f}, {measured.node_us.median:.0f}, {measured.load_us.median:.0f}"
            f" | {measured.load_cores.median:.2f} | {_ratio(measured.cpu_ratio)}"
            f" | {_ratio(measured.ratio)} {f'of {measured.ceiling}' if measured.ratio else ''}"
            f" | {_ratio(before.ratio) if before else '-'} |"
        )
    rows += [f"\nNot measured: {name}: {why}" for name, why in report.failed.items()]
    return "\n".join(rows) + "\n"


def changes(report: Report, baseline: Report) -> list[str]:
    """Say which targets are worse than in the baseline beyond what both runs spread."""
    found = []
    for text, one in report.targets.items():
        earlier = baseline.targets.get(text)
        if earlier is None:
            continue
        now, then = one.measured, earlier.measured
        if now.low > then.high if one.at_most else now.high < then.low:
            found.append(f"worse than the baseline: {text}: {_ratio(now)}, was {_ratio(then)}")
    return found


def _noise(report: Report) -> str:
    bare = report.lines.get("bare")
    if bare is None:
        return ""
    spread = bare.per_second
    return f"Noise: bare Flask alone differed by {100 * (spread.high / spread.low - 1):.0f} % between rounds."


def _whole(spread: Spread) -> str:
    return f"{spread.median:,.0f} ({spread.low:,.0f}-{spread.high:,.0f})"


def _ratio(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.median:.2f} ({spread.low:.2f}-{spread.high:.2f})"
