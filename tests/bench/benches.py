"""The benches: what each sends, which ceiling it is compared with, and the ratio that is aimed at."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Final, NamedTuple

from tests.bench.idle import idle_polls, idle_streams
from tests.bench.latency import publish_to_claim
from tests.bench.load import Sample, children_s, run
from tests.bench.processes import cpu_s
from tests.bench.stage import WORKERS, Stage

Probe = Callable[[Stage, float], Sample]


class Bench(NamedTuple):
    """One line of the report; ``unit`` names the rate that counts."""

    probe: Probe
    unit: str
    ceiling: str = ""
    """What its rate is compared with, in the same round."""


def bare(stage: Stage, seconds: float) -> Sample:
    """Flask and gunicorn alone, one publish's bytes in and out."""
    return run(stage.bare, "single", "/v1/queuey/bench", seconds=seconds, connections=32)


def raw_sqlite(stage: Stage, seconds: float) -> Sample:
    """SQLite alone."""
    rate = stage.raw_rows_per_s(seconds)
    return Sample(rate, rate, 0, 0, 0, 0, 0)


def link_noop(stage: Stage, seconds: float) -> Sample:
    """Empty calls through ZeroMQ: two clients as the front ends are, 16 calls at a time each."""
    command = [sys.executable, "-m", "tests.bench.noop", stage.endpoint, f"{seconds}", "16"]
    node_s, own_s = cpu_s(stage.service.node.pid), children_s()
    clients = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(WORKERS)]
    found = [json.loads(client.communicate()[0]) for client in clients]
    node_s, own_s = cpu_s(stage.service.node.pid) - node_s, children_s() - own_s
    calls = sum(each["calls"] for each in found)
    p50_ms, p99_ms = max(each["p50_ms"] for each in found), max(each["p99_ms"] for each in found)
    per_call_us = 1e6 / calls
    return Sample(calls / seconds, calls / seconds, p50_ms, p99_ms, own_s * per_call_us, node_s * per_call_us, 0)


def publish1(stage: Stage, seconds: float) -> Sample:
    """One message a request."""
    return run(stage.service, "single", stage.new_queue(), seconds=seconds, connections=32)


def publish100(stage: Stage, seconds: float) -> Sample:
    """A hundred messages a request."""
    return _publish100(stage, stage.new_queue(), seconds)


def claim1ack1(stage: Stage, seconds: float) -> Sample:
    """Claim one and ack the one before in the same call."""
    return _claim(stage, seconds, limit=1, connections=32)


def claim100ack100(stage: Stage, seconds: float) -> Sample:
    """The same, by the hundred."""
    return _claim(stage, seconds, limit=100, connections=16)


def claim100ack100_exactly_once(stage: Stage, seconds: float) -> Sample:
    """The same under exactly_once."""
    return _claim(stage, seconds, limit=100, connections=16, application="careful")


def read100(stage: Stage, seconds: float) -> Sample:
    """Pages of a hundred from the middle of a partition."""
    path = stage.new_queue()
    _publish100(stage, path, 1)
    api = stage.service.api()
    name = path.rpartition("/")[2]
    page = api.get(name, params={"limit": "1000"}).json()["messages"]
    api.close()
    more = {"BENCH_LIMIT": "100", "BENCH_SINCE": page[len(page) // 2]["message_id"]}
    return run(stage.service, "read", path, seconds=seconds, connections=16, more=more)


def create(stage: Stage, seconds: float) -> Sample:
    """Queues, each with its first message: two requests a queue."""
    more = {"BENCH_PREFIX": stage.new_prefix()}
    return run(stage.service, "create", "/v1/queuey", seconds=seconds, connections=32, more=more)


BENCHES: Final[dict[str, Bench]] = {
    "bare": Bench(bare, "requests"),
    "raw-sqlite": Bench(raw_sqlite, "messages"),
    "link-noop": Bench(link_noop, "requests", "bare"),
    "publish1": Bench(publish1, "requests", "bare"),
    "publish100": Bench(publish100, "messages", "raw-sqlite"),
    "claim1ack1": Bench(claim1ack1, "messages", "bare"),
    "claim100ack100": Bench(claim100ack100, "messages", "publish100"),
    "claim100ack100-exactly-once": Bench(claim100ack100_exactly_once, "messages", "claim100ack100"),
    "read100": Bench(read100, "messages", "publish100"),
    "create": Bench(create, "requests", "bare"),
    "latency": Bench(publish_to_claim, "messages"),
    "idle-polls": Bench(idle_polls, "requests", "bare"),
    "idle-streams": Bench(idle_streams, "requests", "bare"),
}


def _publish100(stage: Stage, path: str, seconds: float, application: str = "queuey") -> Sample:
    more = {"BENCH_LIMIT": "100"}
    return run(stage.service, "batch", path, seconds=seconds, connections=16, application=application, more=more)


def _claim(stage: Stage, seconds: float, *, limit: int, connections: int, application: str = "queuey") -> Sample:
    """Fill a queue for longer than it takes to empty it, then claim."""
    path = stage.new_queue(application)
    _publish100(stage, path, seconds * 1.5 if limit > 1 else 1, application)
    more = {"BENCH_LIMIT": str(limit)}
    return run(
        stage.service,
        "claim",
        path,
        seconds=seconds,
        connections=connections,
        application=application,
        more=more,
    )
