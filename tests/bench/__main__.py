"""``python -m tests.bench [NAME ...] [--rounds 5] [--seconds 4] [--keep]``: run benches and their ceilings in turn.

The report goes to ``var/bench/report.{md,json,svg}``; ``--keep`` makes it the committed baseline.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.benches import BENCHES
from tests.bench.load import LoadError, Sample
from tests.bench.plot import svg
from tests.bench.report import Report, changes, judge, line, markdown
from tests.bench.stage import Stage, stage

BASELINE: Final = Path(__file__).parent / "baseline"


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
    load_average, begun = os.getloadavg()[0], datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    with stage() as built:
        samples, failed = rounds(built, chosen(arguments.names), arguments.rounds, arguments.seconds)
    report = Report(
        begun=begun,
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        cores=os.cpu_count() or 1,
        load_average=load_average,
        lines={name: line(name, samples) for name in samples},
        targets=judge(samples),
        failed=failed,
    )
    write(report, keep=arguments.keep)
    return 0


def chosen(names: list[str]) -> list[str]:
    """Return the benches asked for, behind the ceilings that they need."""
    wanted = set(names) or set(BENCHES)
    while more := {BENCHES[name].ceiling for name in wanted} - wanted - {""}:
        wanted |= more
    return [name for name in BENCHES if name in wanted or name == "bare"]


def rounds(
    built: Stage, names: list[str], count: int, seconds: float
) -> tuple[dict[str, list[Sample]], dict[str, str]]:
    """Run every bench once per round; a first short round warms up and does not count.

    A bench that breaks off is left out from then on, and the others go on: the second value says why.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    failed: dict[str, str] = {}
    BENCHES["bare"].probe(built, 1)
    BENCHES["publish1"].probe(built, 1)
    for number in range(count):
        for name in list(samples):
            sys.stderr.write(f"round {number + 1} of {count}: {name}\n")
            try:
                samples[name].append(BENCHES[name].probe(built, seconds))
            except (LoadError, AssertionError, OSError, ValueError) as error:
                failed[name] = f"{type(error).__name__}: {error}"[:300]
                del samples[name]
    return samples, failed


def write(report: Report, *, keep: bool) -> None:
    """Leave the report where it is looked for."""
    earlier = BASELINE / "report.json"
    baseline = msgspec.json.decode(earlier.read_bytes(), type=Report) if earlier.exists() and not keep else None
    table = markdown(report, baseline)
    for folder in (Path("var/bench"), *([BASELINE] if keep else [])):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.md").write_text(table)
        (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
        (folder / "report.svg").write_text(svg(report))
    sys.stdout.write(table)
    for text in changes(report, baseline) if baseline else ():
        sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
