"""``python -m tests.bench.streams [--readers 5000] [--rounds 5]``: very many event streams on one front-end process.

Reports the memory of front end and node for each stream, the time until a message has reached all, and the rate of
publishing to another queue beside them.  Ends with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.bench.load import run
from tests.bench.processes import cpu_s, resident_bytes
from tests.support.deployment import Deployment
from tests.support.http_calls import new_queue, post
from tests.support.many_streams import Readers, has, reading

KILOBYTES_EACH_MAX: Final = 40.0
REACHED_S_MAX: Final = 1.0
OF_ALONE_MIN: Final = 0.9
SETTLE_S: Final = 3.0
LOAD_S: Final = 3


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.streams")
    parser.add_argument("--readers", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Deployment(Path(name)) as service, service.api() as api:
        queue = new_queue(api, type="public")
        busy = f"/v1/queuey/{new_queue(api)}"
        alone = _rate(service, busy)
        before = _resident(service)
        with reading(service.port, f"/v1/queuey/{queue}", arguments.readers, within_s=120) as readers:
            time.sleep(SETTLE_S)
            each = (_resident(service) - before) / arguments.readers / 1000
            used_s = _cpu_s(service)
            reached = [_reach(service, readers, queue, number) for number in range(arguments.rounds)]
            used_s = (_cpu_s(service) - used_s) / arguments.rounds
            beside = _rate(service, busy)
    sys.stdout.write(f"{used_s:8.2f}  CPU seconds of front end and node for each message that reached all\n")
    return _report(arguments.readers, each, reached, beside / alone)


def _rate(service: Deployment, path: str) -> float:
    return run(service, "single", path, seconds=LOAD_S, connections=32).requests_per_s


def _reach(service: Deployment, readers: Readers, queue: str, number: int) -> float:
    begun_s = time.monotonic()
    with service.api() as api:
        post(api, queue, f"message-{number}-end")
    readers.wait(has(f"message-{number}-end".encode()), within_s=30)
    return time.monotonic() - begun_s


def _resident(service: Deployment) -> int:
    return resident_bytes(service.front.pid) + resident_bytes(service.node.pid)


def _cpu_s(service: Deployment) -> float:
    return cpu_s(service.front.pid) + cpu_s(service.node.pid)


def _report(count: int, each: float, reached: list[float], of_alone: float) -> int:
    middle = statistics.median(reached)
    lines = (
        (f"kB of front end and node for each of {count:,} streams", each, each < KILOBYTES_EACH_MAX),
        (f"seconds until a message reached all, median of {len(reached)}", middle, middle < REACHED_S_MAX),
        ("rate of publishing beside them, of that without", of_alone, of_alone >= OF_ALONE_MIN),
    )
    for text, value, is_met in lines:
        sys.stdout.write(f"{value:8.2f}  {text}{'' if is_met else '  MISSED'}\n")
    return 0 if all(is_met for _, _, is_met in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
