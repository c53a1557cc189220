"""``python -m tests.bench.neighbour [--rounds 5]``: what a noisy application takes from a quiet one.

The quiet one publishes at a steady rate.  In interleaved rounds it is alone, beside a neighbour that asks for four
times its quota, and beside the same neighbour without a quota.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.deployment import Deployment, deployed, key_of
from tests.support.pacing import drive, quantile

WARM_S: Final = 1.0
"""Seconds until the neighbour's process is there."""
QUIET_PER_S: Final = 100.0
QUOTA_PER_S: Final = 100
SLOWER_MAX: Final = 4 / 3
"""The bound promised: a third."""
QUOTAS: Final = f"""
[applications.careless.quotas]
requests_per_second = {QUOTA_PER_S}
bytes_per_second = 1000000
in_flight = 50
"""
NOISY: Final = {"a third": "careless", "no bound": "other"}
"""Bound -> application: one has quotas, the other none."""


class Round(NamedTuple):
    """The quiet application's median, milliseconds, by what is beside it."""

    alone_ms: float
    quota_ms: float
    unbounded_ms: float


def publish_of(application: str, size: int) -> bytes:
    """Return a publish as bytes on the wire."""
    head = (
        f"POST /v1/{application}/q HTTP/1.1\r\nHost: q\r\nAuthorization: Application {key_of(application)}\r\n"
        f"Content-Type: text/plain\r\nContent-Length: {size}\r\n\r\n"
    )
    return head.encode() + b"x" * size


def make_noise(port: int, application: str, seconds: float) -> None:
    """Publish without a pause, refused or not."""
    drive(port, publish_of(application, 1_000), per_s=400, seconds=seconds, connections=8)


@contextmanager
def stage(directory: Path) -> Iterator[Deployment]:
    """Run a service with the quotas."""
    with deployed(directory, more=QUOTAS) as deployment:
        for application in ("queuey", *NOISY.values()):
            assert deployment.api(application).post("", data={"queue_name": "q"}).status_code == 201
        drive(deployment.port, publish_of("queuey", 100), per_s=1e6, seconds=1, connections=4)
        yield deployment


def one_round(deployment: Deployment, seconds: float) -> Round:
    """Measure alone, beside the bounded and beside the unbounded neighbour."""
    return Round(
        quiet_ms(deployment, seconds, ""),
        quiet_ms(deployment, seconds, NOISY["a third"]),
        quiet_ms(deployment, seconds, NOISY["no bound"]),
    )


def quiet_ms(deployment: Deployment, seconds: float, noisy: str) -> float:
    """Return the quiet application's median time of a publish."""
    neighbour = None
    if noisy:  # a process of its own: the two clients must not wait for each other
        arguments = (deployment.port, noisy, seconds + WARM_S + 0.5)
        neighbour = get_context("spawn").Process(target=make_noise, args=arguments)
        neighbour.start()
        time.sleep(WARM_S)
    times = drive(deployment.port, publish_of("queuey", 100), per_s=QUIET_PER_S, seconds=seconds, connections=8)
    if neighbour is not None:
        neighbour.join()
    assert not times.failed, times.failed
    return quantile(times.accepted_s, 0.5) * 1_000


def main() -> int:
    """Run, print; 1 where the bound is not kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.neighbour")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, stage(Path(directory)) as deployment:
        rounds = [one_round(deployment, arguments.seconds) for _ in range(arguments.rounds)]
    slower = statistics.median(each.quota_ms / each.alone_ms for each in rounds)
    unbounded = statistics.median(each.unbounded_ms / each.alone_ms for each in rounds)
    for each in rounds:
        sys.stdout.write(
            f"alone {each.alone_ms:.1f} ms, beside a bounded neighbour {each.quota_ms:.1f} ms, "
            f"beside an unbounded one {each.unbounded_ms:.1f} ms\n"
        )
    sys.stdout.write(f"median ratio {slower:.2f} (bound {SLOWER_MAX:.2f}), unbounded {unbounded:.2f}\n")
    return slower > SLOWER_MAX


if __name__ == "__main__":
    sys.exit(main())
