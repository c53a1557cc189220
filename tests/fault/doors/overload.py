"""``python -m tests.fault.doors.overload [--seconds 60]``: publishers send three times what the system carries.

Calm, then overload, then calm again; what is accepted, refused and used is printed, and judged.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from pathlib import Path
from typing import Final, NamedTuple

import requests

from tests.bench.processes import resident_bytes
from tests.support.deployment import Deployment, deployed, key_of
from tests.support.flood import AT_FULL_RATE, flood
from tests.support.pacing import Times, quantile

CONNECTIONS: Final = 128
TIMES_CAPACITY: Final = 3
CALM_SHARE: Final = 0.4
"""Of the capacity, that publishers use when it is calm."""
P99_FACTOR_MAX: Final = 5.0
REFUSED_S_MAX: Final = 0.1
"""On a machine that publishes within ``CALM_S`` when it is calm, more on a slower one."""
CALM_S: Final = 0.01
AFTER_S_MAX: Final = 5
MEMORY_BYTES_MAX: Final = 64 << 20
"""Bytes by which front end and node may grow."""


class Figures(NamedTuple):
    """What was seen."""

    capacity_per_s: float
    calm: Times
    overload: Times
    after: Times
    grown_bytes: int
    told_when_to_retry: bool

    def lines(self) -> list[str]:
        """Return a table."""
        over = self.overload
        return [
            f"capacity {self.capacity_per_s:.0f}/s, sent {over.sent_per_s:.0f}/s, accepted {over.per_s:.0f}/s",
            f"refused {len(over.refused_s)}, failed {dict(over.failed)}, memory grew by {self.grown_bytes >> 20} MiB",
            summary("calm", self.calm.accepted_s),
            summary("overload", over.accepted_s),
            summary("refused", over.refused_s),
            summary("after", self.after.accepted_s),
        ]

    def faults(self) -> list[str]:
        """Return what should not be."""
        calm_s, busy_s = (quantile(times.accepted_s, 0.99) for times in (self.calm, self.overload))
        slowness = max(1.0, quantile(self.calm.accepted_s, 0.5) / CALM_S)
        checks = {
            "something else than 2xx or 503": not self.overload.failed,
            "nothing was refused": bool(self.overload.refused_s),
            "a refusal without Retry-After": self.told_when_to_retry,
            f"accepted p99 beyond {P99_FACTOR_MAX} times the calm one": busy_s <= P99_FACTOR_MAX * calm_s,
            "refusals were slow": quantile(self.overload.refused_s or [0], 0.99) < REFUSED_S_MAX * slowness,
            "not calm again": not self.after.refused_s and not self.after.failed,
            "slow afterwards": quantile(self.after.accepted_s, 0.99) <= P99_FACTOR_MAX * calm_s,
            "memory is not bounded": self.grown_bytes < MEMORY_BYTES_MAX,
        }
        return [text for text, is_well in checks.items() if not is_well]


def summary(name: str, seconds: list[float]) -> str:
    """Return a line on how long something took."""
    if not seconds:
        return f"{name}: none"
    return f"{name}: p50 {quantile(seconds, 0.5) * 1000:.1f} ms, p99 {quantile(seconds, 0.99) * 1000:.1f} ms"


class Crowd:
    """Publishers of one queue."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        assert deployment.api().post("", data={"queue_name": "crowd"}).status_code == 201

    def publish(self, *, per_s: float, seconds: int, connections: int) -> Times:
        """Publish at this rate."""
        url = f"http://127.0.0.1:{self._deployment.port}/v1/queuey/crowd"
        headers = [f"Authorization: Application {key_of('queuey')}", "Content-Type: text/plain"]
        return flood(url, b"x" * 200, headers, per_s=per_s, seconds=seconds, connections=connections)

    def resident_bytes(self) -> int:
        """Return what front end and node hold."""
        return resident_bytes(self._deployment.front.pid) + resident_bytes(self._deployment.node.pid)

    def poll(self, over: threading.Event, answers: list[requests.Response]) -> None:
        """Read now and then, as another client does, until it is over."""
        while not over.wait(0.05):
            answers.append(self._deployment.api().get("crowd"))


def measure(deployment: Deployment, *, seconds: int, calm_seconds: int = 4) -> Figures:
    """Run the three phases."""
    crowd = Crowd(deployment)
    crowd.publish(per_s=AT_FULL_RATE, seconds=1, connections=8)
    capacity = crowd.publish(per_s=AT_FULL_RATE, seconds=calm_seconds, connections=8).per_s
    calm = crowd.publish(per_s=capacity * CALM_SHARE, seconds=calm_seconds, connections=16)
    before = crowd.resident_bytes()
    answers: list[requests.Response] = []
    over = threading.Event()
    other = threading.Thread(target=crowd.poll, args=(over, answers))
    other.start()
    overload = crowd.publish(per_s=capacity * TIMES_CAPACITY, seconds=seconds, connections=CONNECTIONS)
    over.set()
    other.join()
    grown = crowd.resident_bytes() - before
    crowd.publish(per_s=capacity * CALM_SHARE, seconds=1, connections=16)
    after = crowd.publish(per_s=capacity * CALM_SHARE, seconds=min(calm_seconds, AFTER_S_MAX - 1), connections=16)
    refused = [answer for answer in answers if answer.status_code == 503]
    return Figures(capacity, calm, overload, after, grown, all("Retry-After" in answer.headers for answer in refused))


def main() -> int:
    """Run, print, and say by the status whether all was well."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault.doors.overload")
    parser.add_argument("--seconds", type=int, default=60)
    seconds: int = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as directory, deployed(Path(directory)) as deployment:
        figures = measure(deployment, seconds=seconds)
    faults = figures.faults()
    sys.stdout.write("\n".join([*figures.lines(), *(f"FAULT: {fault}" for fault in faults)]) + "\n")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
