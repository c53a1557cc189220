"""Rounds -> medians with their spread, as JSON, Markdown and SVG, beside a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

import msgspec

from tests.bench.benches import BENCHES, Bench
from tests.bench.load import Sample


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
    ceiling: str
    ratio: Spread | None
    target: float | None
    cpu_ratio: Spread | None
    """CPU of front ends and node per request, divided by that of the bare endpoint in the same round."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    rounds: int
    seconds: float
    cores: int
    load_average: float
    """Of the machine when the run began: what else was going on."""
    lines: dict[str, Line]


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
        ceiling=bench.ceiling,
        ratio=ratio,
        target=bench.target,
        cpu_ratio=cpu_ratio,
    )


def rate(bench: Bench, sample: Sample) -> float:
    """Return the rate that counts."""
    return sample.requests_per_s if bench.unit == "requests" else sample.messages_per_s


def markdown(report: Report, baseline: Report | None) -> str:
    """Return the report as tables."""
    rows = [
        f"{report.rounds} interleaved rounds of {report.seconds:g} s on {report.cores} cores shared by load and"
        f" service (load average before: {report.load_average:.1f}). Medians, lowest and highest round in brackets.",
        "",
        "| Bench | per second | p50 / p99 ms | CPU us a request: front, node, load | CPU of bare | of its ceiling"
        " | target | baseline |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, one in report.lines.items():
        earlier = baseline.lines.get(name) if baseline else None
        rows.append(
            f"| {name} | {_whole(one.per_second)} {one.unit} | {one.p50_ms.median:.1f} / {one.p99_ms.median:.1f}"
            f" | {one.front_us.median:.0f}, {one.node_us.median:.0f}, {one.load_us.median:.0f}"
            f" | {_ratio(one.cpu_ratio)} | {_ratio(one.ratio)} {f'of {one.ceiling}' if one.ratio else ''}"
            f" | {_target(one)} | {_ratio(earlier.ratio) if earlier else '-'} |"
        )
    return "\n".join(rows) + "\n"


def svg(report: Report) -> str:
    """Draw each ratio as a bar from its ceiling's 0 to 1, with its spread, and a mark at the target."""
    shown = [(name, one.ratio, one.target) for name, one in report.lines.items() if one.ratio]
    scale, left, step = 300, 240, 28
    height = step * len(shown) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + 2 * scale}" height="{height}"'
        ' font-family="sans-serif" font-size="13">'
    ]
    for index, (name, ratio, target) in enumerate(shown):
        y = 10 + index * step
        parts.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{name}</text>')
        parts.append(f'<rect x="{left}" y="{y}" width="{scale * ratio.median:.1f}" height="18" fill="#4a7fb5"/>')
        parts.append(_across(left + scale * ratio.low, left + scale * ratio.high, y + 9))
        parts.append(f'<text x="{left + scale * ratio.high + 6:.1f}" y="{y + 13}">{ratio.median:.2f}</text>')
        if target is not None:
            x = left + scale * target
            parts.append(f'<path d="M{x:.1f} {y - 3}V{y + 21}" stroke="#c0392b" stroke-width="2"/>')
    parts.append(f'<text x="{left}" y="{height - 4}" fill="#555">ratio to its ceiling; red: target</text></svg>')
    return "\n".join(parts) + "\n"


def _across(low: float, high: float, y: float) -> str:
    return f'<path d="M{low:.1f} {y}H{high:.1f}" stroke="#222" stroke-width="2"/>'


def _whole(spread: Spread) -> str:
    return f"{spread.median:,.0f} ({spread.low:,.0f}-{spread.high:,.0f})"


def _ratio(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.median:.2f} ({spread.low:.2f}-{spread.high:.2f})"


def _target(one: Line) -> str:
    if one.target is None or one.ratio is None:
        return "-"
    return f"{one.target:.2f} {'met' if one.ratio.median >= one.target else 'missed'}"
