"""Load from wrk, a process of its own; one ``Sample`` per run with the CPU that the service used for it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.processes import cpu_s
from tests.support.deployment import Deployment, key_of

SCRIPT: Final = Path(__file__).with_name("lua") / "load.lua"


class Sample(NamedTuple):
    """One run."""

    requests_per_s: float
    messages_per_s: float
    p50_ms: float
    p99_ms: float
    front_us: float
    """CPU of the front ends per request."""
    node_us: float
    """CPU of the storage node per request."""
    load_us: float
    """CPU of the load generator per request: where it is small, the client is not the bottleneck."""
    bytes_each: float = 0
    """Memory of front ends and node for each idle client."""
    of_alone: float = 0
    """Rate beside idle clients, divided by that without them."""


class LoadError(Exception):
    """Requests were refused or failed: the run says nothing."""


def run(
    deployment: Deployment,
    mode: str,
    path: str,
    *,
    seconds: float,
    connections: int,
    application: str = "queuey",
    refusals_ok: bool = False,
    more: Mapping[str, str] | None = None,
) -> Sample:
    """Send requests for so long.

    Raises:
        LoadError: some were refused, or connections broke.
    """
    environment = {
        **os.environ,
        "BENCH_MODE": mode,
        "BENCH_PATH": path,
        "BENCH_AUTHORIZATION": f"Application {key_of(application)}",
        **(more or {}),
    }
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "20s", "-s", str(SCRIPT)]
    has_node = deployment.node.is_running()
    front_s, node_s = cpu_s(deployment.front.pid), cpu_s(deployment.node.pid) if has_node else 0.0
    own_s = children_s()
    ended = subprocess.run([*command, deployment.url], env=environment, capture_output=True, text=True, check=True)
    front_s = cpu_s(deployment.front.pid) - front_s
    node_s = cpu_s(deployment.node.pid) - node_s if has_node else 0.0
    own_s = children_s() - own_s
    counted = json.loads(ended.stdout.strip().splitlines()[-1])
    if counted["failed"] or (counted["refused"] and not refusals_ok):
        raise LoadError(f"{mode} {path}: {counted} {ended.stderr[:1000]}")
    requests, lasted_s = counted["requests"], counted["seconds"]
    if not requests:
        raise LoadError(f"{mode} {path}: nothing was answered")
    per_request_us = 1e6 / requests
    return Sample(
        requests / lasted_s,
        counted["messages"] / lasted_s,
        counted["p50_ms"],
        counted["p99_ms"],
        front_s * per_request_us,
        node_s * per_request_us,
        own_s * per_request_us,
    )


def children_s() -> float:
    """Return the CPU seconds of all processes that this one started and that ended."""
    times = os.times()
    return times.children_user + times.children_system
