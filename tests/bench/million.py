"""A million queues beside a thousand: ``python -m tests.bench.million [--queues 1000000] [--rounds 10]``.

Two services run side by side, each with front ends, a node and a SQLite file; one file holds a thousand queues with
one message each, the other a million.  Every round sends both the same load through HTTP, in turn: publishes to
queues drawn at random, then creations, each with its first message.  What counts are the ratios of a round (of the
requests that were served, should a busy machine make the service refuse some), and the growth of the resident memory
of all processes of a service.  The report goes to ``var/bench-million.{md,json}``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import msgspec

from tests.bench.load import LoadError, Sample, run
from tests.bench.million_fill import PREFIX, fill
from tests.bench.processes import resident_total_bytes
from tests.bench.report import Spread
from tests.support.deployment import Deployment

FEW: Final = 1_000
WORKERS: Final = 2
CONNECTIONS: Final = 32
APPLICATION: Final = "queuey"
RATIO_TARGET: Final = 0.80
"""Rate with the many queues divided by that with the few, at least."""
SERVED_SHARE_MIN: Final = 0.9
"""Of the requests of a run; below it the run says nothing."""
GROWTH_BYTES_MAX: Final = 5 << 20
"""Resident bytes that a service with the many queues may have more than one with the few."""
MB: Final = 1e6


class Resident(NamedTuple):
    """Bytes of whole processes, pages of mapped files included."""

    front: int
    node: int


class Service:
    """A deployment that holds a number of queues."""

    def __init__(self, directory: Path, queues: int) -> None:
        self.queues = queues
        self.deployment = Deployment(directory, workers=WORKERS)
        self._following = queues

    def publish(self, seconds: float) -> Sample:
        """Publish to queues that it was filled with, drawn at random."""
        more = {"BENCH_PREFIX": PREFIX, "BENCH_QUEUES": str(self.queues)}
        return self._run("random", f"/v1/{APPLICATION}", seconds, more)

    def create(self, seconds: float) -> Sample:
        """Create queues, each with its first message: two requests a queue."""
        more = {"BENCH_PREFIX": PREFIX, "BENCH_FIRST": str(self._following)}
        sample = self._run("create", f"/v1/{APPLICATION}", seconds, more)
        self._following += round(2 * sample.requests_per_s * seconds) + 1_000
        return sample

    def resident(self) -> Resident:
        """Return the resident memory of its front ends and its node."""
        both = (self.deployment.front, self.deployment.node)
        return Resident(*[resident_total_bytes(process.pid) for process in both])

    def _run(self, mode: str, path: str, seconds: float, more: dict[str, str]) -> Sample:
        sample = run(
            self.deployment, mode, path, seconds=seconds, connections=CONNECTIONS, refusals_ok=True, more=more
        )
        if sample.messages_per_s < SERVED_SHARE_MIN * sample.requests_per_s:
            raise LoadError(f"{mode}: only {sample.messages_per_s:.0f} of {sample.requests_per_s:.0f} were served")
        return sample


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of load on both services."""

    few_per_s: Spread
    many_per_s: Spread
    few_p99_ms: Spread
    many_p99_ms: Spread
    few_us: Spread
    """CPU of front ends and node per request."""
    many_us: Spread
    ratio: Spread
    """Of the rates, round by round."""

    @property
    def is_met(self) -> bool:
        """Is the median ratio what is aimed at?"""
        return self.ratio.median >= RATIO_TARGET


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    queues: int
    rounds: int
    seconds: float
    load_average: float
    loads: dict[str, Pair]
    few_resident: Resident
    many_resident: Resident


def main() -> int:
    """Fill, run, print the table, leave the files."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.million")
    parser.add_argument("--queues", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--filled", type=Path, help="keep the filled files there, and begin with copies of them")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk is missing: apt-get install wrk")
    load_average = os.getloadavg()[0]
    with services(arguments.queues, arguments.filled) as (few, many):
        loads = rounds(few, many, arguments.rounds, arguments.seconds)
        report = Report(
            queues=arguments.queues,
            rounds=arguments.rounds,
            seconds=arguments.seconds,
            load_average=load_average,
            loads=loads,
            few_resident=few.resident(),
            many_resident=many.resident(),
        )
    write(report)
    return 0


@contextlib.contextmanager
def services(queues: int, kept: Path | None) -> Iterator[tuple[Service, Service]]:
    """Fill two stores, or copy those in ``kept``, and start a service on each; leave nothing else behind."""
    Path("var").mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(TemporaryDirectory(dir="var", prefix="million-"))).resolve()
        made = []
        for count in (FEW, queues):
            filled = (kept or root) / f"queues-{count}.sqlite3"
            if not filled.exists():
                asyncio.run(fill(filled, APPLICATION, count))
            directory = root / str(count)
            directory.mkdir()
            shutil.copy(filled, directory / "messages.sqlite3")
            made.append(Service(directory, count))
        for service in made:
            stack.enter_context(service.deployment)
        yield made[0], made[1]


def rounds(few: Service, many: Service, count: int, seconds: float) -> dict[str, Pair]:
    """Run both loads once per round on both services; a short first round warms up and does not count."""
    kinds: dict[str, Callable[[Service, float], Sample]] = {"publish": Service.publish, "create": Service.create}
    pairs = {}
    for name, kind in kinds.items():
        for service in (few, many):
            kind(service, 2)
        samples = []
        for number in range(count):
            sys.stderr.write(f"round {number + 1} of {count}: {name}\n")
            samples.append(in_turn(kind, few, many, seconds, many_first=bool(number % 2)))
        pairs[name] = pair(samples)
    return pairs


def in_turn(
    kind: Callable[[Service, float], Sample], few: Service, many: Service, seconds: float, *, many_first: bool
) -> tuple[Sample, Sample]:
    """Run one load on both; who comes first changes, as what the first leaves to the disk slows the second down."""
    if many_first:
        second = kind(many, seconds)
        return kind(few, seconds), second
    return kind(few, seconds), kind(many, seconds)


def pair(samples: list[tuple[Sample, Sample]]) -> Pair:
    """Sum up what both services did; the ratio is taken round by round."""
    few, many = [one for one, _ in samples], [other for _, other in samples]
    return Pair(
        few_per_s=Spread.of([one.messages_per_s for one in few]),
        many_per_s=Spread.of([one.messages_per_s for one in many]),
        few_p99_ms=Spread.of([one.p99_ms for one in few]),
        many_p99_ms=Spread.of([one.p99_ms for one in many]),
        few_us=Spread.of([one.front_us + one.node_us for one in few]),
        many_us=Spread.of([one.front_us + one.node_us for one in many]),
        ratio=Spread.of([other.messages_per_s / one.messages_per_s for one, other in samples]),
    )


def markdown(report: Report) -> str:
    """Return the report as a table and a line."""
    rows = [
        f"{report.rounds} interleaved rounds of {report.seconds:g} s, {CONNECTIONS} connections, {WORKERS} front ends"
        f" and a node on each store (load average before: {report.load_average:.1f}).",
        "Medians, lowest and highest round in brackets.",
        "",
        f"| Load | requests/s at {FEW:,} queues | at {report.queues:,} | p99 ms | CPU us a request"
        f" | ratio | target {RATIO_TARGET:.2f} |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one in report.loads.items():
        rows.append(
            f"| {name} | {_whole(one.few_per_s)} | {_whole(one.many_per_s)}"
            f" | {one.few_p99_ms.median:.0f} and {one.many_p99_ms.median:.0f}"
            f" | {one.few_us.median:.0f} and {one.many_us.median:.0f}"
            f" | {one.ratio.median:.2f} ({one.ratio.low:.2f}-{one.ratio.high:.2f})"
            f" | {_met(one.is_met)} |"
        )
    few, many = report.few_resident, report.many_resident
    growth = sum(many) - sum(few)
    rows += [
        "",
        f"Resident memory of the front ends and the node: {few.front / MB:.1f} and {few.node / MB:.1f} MB at {FEW:,}"
        f" queues, {many.front / MB:.1f} and {many.node / MB:.1f} MB at {report.queues:,}: {growth / MB:+.1f} MB"
        f" (at most {GROWTH_BYTES_MAX / MB:.1f}: {_met(growth <= GROWTH_BYTES_MAX)}).",
    ]
    return "\n".join(rows) + "\n"


def write(report: Report) -> None:
    """Leave the report where it is looked for, and show it."""
    table = markdown(report)
    Path("var/bench-million.md").write_text(table)
    Path("var/bench-million.json").write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    sys.stdout.write(table)


def _whole(spread: Spread) -> str:
    return f"{spread.median:,.0f} ({spread.low:,.0f}-{spread.high:,.0f})"


def _met(is_met: bool) -> str:
    return "met" if is_met else "missed"


if __name__ == "__main__":
    sys.exit(main())
