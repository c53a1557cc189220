"""A report's targets as SVG: how far each is reached, with the spread of the rounds."""

from __future__ import annotations

from typing import Final

from tests.bench.report import Judged, Report

SCALE: Final = 260
"""Pixels from nothing to a target that is just met."""
LEFT: Final = 420
STEP: Final = 26
SHOWN_MAX: Final = 2.0
MET: Final = "#3a8a5c"
MISSED: Final = "#c0392b"


def svg(report: Report) -> str:
    """Draw every target as a bar that reaches the line where it is met; longer is better."""
    height = STEP * len(report.targets) + 34
    width = LEFT + round(SCALE * SHOWN_MAX) + 110
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif"'
        ' font-size="12">'
    ]
    for index, (text, one) in enumerate(report.targets.items()):
        parts += _bar(text, one, 8 + index * STEP)
    parts.append(f'<path d="M{LEFT + SCALE} 2V{height - 20}" stroke="#222" stroke-dasharray="4 3"/>')
    parts.append(
        f'<text x="{LEFT}" y="{height - 6}" fill="#555">of the target: met from the dashed line on;'
        f" {report.begun}, {report.rounds} rounds, lines: lowest to highest</text></svg>"
    )
    return "\n".join(parts) + "\n"


def _bar(text: str, one: Judged, y: int) -> list[str]:
    reached = [_reached(one, value) for value in (one.measured.median, one.measured.low, one.measured.high)]
    middle, low, high = reached[0], min(reached), max(reached)
    colour = MET if one.met else MISSED
    return [
        f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{text}</text>',
        f'<rect x="{LEFT}" y="{y}" width="{SCALE * middle:.1f}" height="17" fill="{colour}"/>',
        f'<path d="M{LEFT + SCALE * low:.1f} {y + 8.5}H{LEFT + SCALE * high:.1f}" stroke="#222" stroke-width="2"/>',
        f'<text x="{LEFT + SCALE * max(middle, high) + 6:.1f}" y="{y + 13}">{one.measured.median:.3g}'
        f" ({'&lt;=' if one.at_most else '&gt;='} {one.bound:g})</text>",
    ]


def _reached(one: Judged, value: float) -> float:
    share = one.bound / value if one.at_most and value else value / one.bound
    return min(share, SHOWN_MAX)
