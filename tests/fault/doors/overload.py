"""``python -m tests.fault.doors.overload [--seconds 60]``: publishers send three times what the system carries.

Calm, then overload, then calm again; what is accepted, refused and used is printed, and judged.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.processes import resident_bytes
from tests.support.deployment import Deployment, deployed, key_of
from tests.support.pacing import Times, drive, quantile

CONNECTIONS: Final = 192
TIMES_CAPACITY: Final = 3
CALM_SHARE: Final = 0.4
"""Of the capacity, that publishers use when it is calm."""
P99_FACTOR_MAX: Final = 5.0
REFUSED_S_MAX: Final = 0.1
"""On a machine that publishes within ``CALM_S`` when it is calm, more on a slower one."""
CALM_S: Final = 0.01
AFTER_S_MAX: Final = 5.0
MEMORY_BYTES_MAX: Final = 64 << 20
"""Bytes by which front end and node may grow."""


class Figures(NamedTuple):
    """What was seen."""

    capacity_per_s: float
    calm: Times
    overload: Times
    after: Times
    grown_bytes: int

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


def publish_request() -> bytes:
    """Return a publish as bytes on the wire."""
    body = b"x" * 200
    return (
        f"POST /v1/queuey/crowd HTTP/1.1\r\nHost: q\r\nAuthorization: Application {key_of('queuey')}\r\n"
        f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def measure(deployment: Deployment, *, seconds: float, calm_seconds: float = 4) -> Figures:
    """Run the three phases."""
    assert deployment.api().post("", data={"queue_name": "crowd"}).status_code == 201
    request, port = publish_request(), deployment.port
    drive(port, request, per_s=1e6, seconds=1, connections=8)
    capacity = drive(port, request, per_s=1e6, seconds=calm_seconds / 2, connections=8).per_s
    calm = drive(port, request, per_s=capacity * CALM_SHARE, seconds=calm_seconds, connections=16)
    before = resident_bytes(deployment.front.pid) + resident_bytes(deployment.node.pid)
    overload = drive(port, request, per_s=capacity * TIMES_CAPACITY, seconds=seconds, connections=CONNECTIONS)
    grown = resident_bytes(deployment.front.pid) + resident_bytes(deployment.node.pid) - before
    drive(port, request, per_s=capacity * CALM_SHARE, seconds=1, connections=16)
    after = drive(
        port, request, per_s=capacity * CALM_SHARE, seconds=min(calm_seconds, AFTER_S_MAX - 1), connections=16
    )
    return Figures(capacity, calm, overload, after, grown)


def main() -> int:
    """Run, print, and say by the status whether all was well."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault.doors.overload")
    parser.add_argument("--seconds", type=float, default=60.0)
    seconds: float = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as directory, deployed(Path(directory)) as deployment:
        figures = measure(deployment, seconds=seconds)
    faults = figures.faults()
    sys.stdout.write("\n".join([*figures.lines(), *(f"FAULT: {fault}" for fault in faults)]) + "\n")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
