"""``python -m tests.bench.noop ENDPOINT SECONDS GREENLETS``: empty calls of a running node, as front ends make them.

Prints one line of JSON: calls, and the milliseconds of the median and the slowest hundredth.
"""

from __future__ import annotations

import json
import sys
import time

import gevent

from api.node_client import NodeClient
from common.protocol.operations import Ping


def main() -> int:
    """Call for so long, so many at a time."""
    endpoint, seconds, greenlets = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    client = NodeClient([endpoint])
    while not client.ready():
        time.sleep(0.01)
    waits_s: list[float] = []
    stop_s = time.monotonic() + seconds

    def work() -> None:
        while (begun_s := time.monotonic()) < stop_s:
            client.call(Ping())
            waits_s.append(time.monotonic() - begun_s)

    gevent.joinall([gevent.spawn(work) for _ in range(greenlets)], raise_error=True)
    client.close()
    waits_s.sort()
    count = len(waits_s)
    p50_ms, p99_ms = waits_s[count // 2] * 1000, waits_s[count * 99 // 100] * 1000
    sys.stdout.write(json.dumps({"calls": count, "p50_ms": p50_ms, "p99_ms": p99_ms}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
