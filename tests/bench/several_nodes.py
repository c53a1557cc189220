"""A service of several storage nodes, and what a message costs them."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

import requests

from tests.bench.load import run
from tests.bench.processes import cpu_s
from tests.support.deployment import Api, Deployment, Process
from tests.support.ports import free_ports
from tests.support.service import wait_until

NODES: Final = (1, 2, 4)
QUEUES: Final = 64
CONNECTIONS: Final = 32
"""As many as a front end never refuses: more would wait in Cassandra, and be told so."""
PREFIX: Final = "spread-"
START_S_MAX: Final = 90.0
_CALLS: Final = re.compile(rb'^queuey_store_seconds_count\{statement="([a-z_]+)"\} ([0-9.e+]+)$', re.MULTILINE)
_OWN: Final = frozenset({b"write_member", b"list_members", b"ping", b"read_clocks"})
"""Calls that a node makes by the clock, whatever is published."""


def queue_name(number: int) -> str:
    """Return the name that the load draws under this number."""
    return f"{PREFIX}{number * 2654435761 % (1 << 32):08x}"


def _create(api: Api, name: str) -> bool:
    """A Cassandra that is making the next service's tables may be slow."""
    return api.post("", data={"queue_name": name}).ok


class Cost(NamedTuple):
    """What one message cost all storage nodes together."""

    cpu_us: float
    calls: float


class Several:
    """Front ends, so many nodes, and queues that spread over them."""

    def __init__(self, folder: Path, count: int, store: str) -> None:
        self._metrics = free_ports(count)
        self.service = Deployment(folder, workers=2, store=store)
        file = folder / "queuey.toml"
        table = f'[storage_node]\nprocesses = {count}\nmetrics_bind = "127.0.0.1:{self._metrics[0]}"\n'
        file.write_text(file.read_text().replace("[storage_node]\n", table))
        command = [sys.executable, "-m", "storage_node", "--process"]
        self._nodes = [
            self.service.node,
            *[Process(f"node-{number}", [*command, str(number)], folder) for number in range(1, count)],
        ]
        self._stack = ExitStack()

    def __enter__(self) -> Several:
        for node in self._nodes[1:]:
            self._stack.callback(node.stop)
            node.start()
        self._stack.enter_context(self.service)
        wait_until(self._serve, within_s=START_S_MAX, what="all storage nodes")
        with self.service.api() as api:
            for number in range(QUEUES):
                made = partial(_create, api, queue_name(number))
                wait_until(made, within_s=START_S_MAX, what="queue")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def cost(self, seconds: float) -> Cost:
        """Publish one message a request to queues drawn at random."""
        before_s, calls = self._cpu_s(), self._calls()
        sample = run(
            self.service,
            "random",
            "/v1/queuey",
            seconds=seconds,
            connections=CONNECTIONS,
            more={"BENCH_PREFIX": PREFIX, "BENCH_QUEUES": str(QUEUES)},
        )
        messages = sample.requests_per_s * seconds
        return Cost((self._cpu_s() - before_s) * 1e6 / messages, (self._calls() - calls) / messages)

    def _serve(self) -> bool:
        """Do all nodes show their metrics?"""
        try:
            return all(requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).ok for port in self._metrics)
        except requests.RequestException:
            return False

    def _cpu_s(self) -> float:
        return sum(cpu_s(node.pid) for node in self._nodes)

    def _calls(self) -> float:
        shown = [requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).content for port in self._metrics]
        found = [pair for text in shown for pair in _CALLS.findall(text)]
        return sum(float(count) for statement, count in found if statement not in _OWN)
