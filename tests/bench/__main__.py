"""``python -m tests.bench [NAME ...] [--rounds 5] [--seconds 4] [--keep]``: run benches and their ceilings in turn.

The report goes to ``var/bench.{md,json,svg}``; ``--keep`` makes it the committed baseline.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.benches import BENCHES
from tests.bench.load import Sample
from tests.bench.report import Report, line, markdown, svg
from tests.bench.stage import Stage, stage

BASELINE: Final = Path(__file__).with_name("baseline.json")
DOCUMENT: Final = Path("docs/benchmarks.svg")


def main() -> int:
    """Run, print the table, leave the files."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--keep", action="store_true", help="make this run the baseline")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHES):
        parser.error(f"no such bench: {', '.join(sorted(unknown))}")
    if shutil.which("wrk") is None:
        parser.error("wrk is missing: apt-get install wrk")
    load_average = os.getloadavg()[0]
    with stage() as built:
        samples = rounds(built, chosen(arguments.names), arguments.rounds, arguments.seconds)
    report = Report(
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        cores=os.cpu_count() or 1,
        load_average=load_average,
        lines={name: line(name, samples) for name in samples},
    )
    write(report, keep=arguments.keep)
    return 0


def chosen(names: list[str]) -> list[str]:
    """Return the benches asked for, behind the ceilings that they need."""
    wanted = set(names) or set(BENCHES)
    while more := {BENCHES[name].ceiling for name in wanted} - wanted - {""}:
        wanted |= more
    return [name for name in BENCHES if name in wanted or name == "bare"]


def rounds(built: Stage, names: list[str], count: int, seconds: float) -> dict[str, list[Sample]]:
    """Run every bench once per round; a first short round warms up and does not count."""
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    BENCHES["bare"].probe(built, 1)
    BENCHES["publish1"].probe(built, 1)
    for number in range(count):
        for name in names:
            sys.stderr.write(f"round {number + 1} of {count}: {name}\n")
            samples[name].append(BENCHES[name].probe(built, seconds))
    return samples


def write(report: Report, *, keep: bool) -> None:
    """Leave the report where it is looked for."""
    baseline = msgspec.json.decode(BASELINE.read_bytes(), type=Report) if BASELINE.exists() else None
    table = markdown(report, None if keep else baseline)
    content = msgspec.json.format(msgspec.json.encode(report)) + b"\n"
    Path("var/bench.md").write_text(table)
    Path("var/bench.json").write_bytes(content)
    Path("var/bench.svg").write_text(svg(report))
    if keep:
        BASELINE.write_bytes(content)
        DOCUMENT.write_text(svg(report))
    sys.stdout.write(table)


if __name__ == "__main__":
    sys.exit(main())
