"""Toy storage nodes as processes, and calls to them, for tests of the link."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent

from api.node_client import NodeClient
from common.protocol.failures import Failure, FailureError
from common.protocol.operations import Caller, Claim, DeleteQueue, DescribeQueue, QueueInfo, Read
from tests.support.ports import free_endpoint

ROOT = Path(__file__).parents[2]
NOBODY = Caller()


class NodeProcess:
    """One toy node; ``start`` returns when it is bound."""

    def __init__(self, endpoint: str, members_file: Path, *, in_flight_max: int | None = None) -> None:
        self.endpoint = endpoint
        self._arguments = [endpoint, str(members_file)] + ([str(in_flight_max)] if in_flight_max else [])
        self._process: subprocess.Popen[bytes] | None = None
        self.log = members_file.with_name(f"{endpoint.rpartition(':')[2]}.log")

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def start(self) -> NodeProcess:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.link_node", *self._arguments],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n", self.log.read_text()
        return self

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """End it without a chance to say anything."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def wait(self) -> int:
        """Wait until it has ended by itself, letting greenlets run meanwhile."""
        wait_until(lambda: self.process.poll() is not None, 20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return self.process.returncode


class Cluster:
    """Toy nodes that name each other as members."""

    def __init__(self, directory: Path) -> None:
        self.members_file = directory / "members"
        self.nodes: list[NodeProcess] = []
        self.clients: list[NodeClient] = []
        self.members_file.write_text("")

    def add(self, *, in_flight_max: int | None = None, announce: bool = True) -> NodeProcess:
        node = NodeProcess(free_endpoint(), self.members_file, in_flight_max=in_flight_max)
        self.nodes.append(node)
        node.start()
        if announce:
            self.announce(*self.nodes)
        return node

    def announce(self, *nodes: NodeProcess) -> None:
        """Say who the members are."""
        fresh = self.members_file.with_suffix(".new")
        fresh.write_text("\n".join(node.endpoint for node in nodes))
        fresh.replace(self.members_file)

    def client(self, *seeds: str) -> NodeClient:
        client = NodeClient(seeds or [self.nodes[0].endpoint])
        self.clients.append(client)
        return client

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for node in self.nodes:
            node.kill()


def describe(queue: str) -> DescribeQueue:
    """An operation that only reads."""
    return DescribeQueue(application="notes", caller=NOBODY, queue=queue)


def delete(queue: str) -> DeleteQueue:
    """An operation that changes something."""
    return DeleteQueue(application="notes", caller=NOBODY, queue=queue)


def waiting_read(wait_ms: int, queue: str = "inbox") -> Read:
    return Read(application="notes", caller=NOBODY, queue=queue, partitions=(1,), limit=1, wait_ms=wait_ms)


def waiting_claim(wait_ms: int, queue: str = "inbox") -> Claim:
    return Claim(application="notes", caller=NOBODY, queue=queue, group="g", limit=1, lease_ms=None, wait_ms=wait_ms)


def stats(client: NodeClient, queue: str = "stats") -> dict[str, Any]:
    """Ask the node that serves ``queue`` what it has seen."""
    info = client.call(describe(queue))
    assert isinstance(info, QueueInfo)
    assert info.principles is not None
    seen: dict[str, Any] = json.loads(info.principles)
    return seen


def failure_of(call: Callable[[], object]) -> Failure:
    """Return the failure that a call ends with."""
    try:
        call()
    except FailureError as error:
        return error.failure
    raise AssertionError("it did not fail")


def wait_until(condition: Callable[[], object], seconds: float) -> None:
    """Let greenlets run until the condition holds, at most so long."""
    end_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        gevent.sleep(0.01)


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began_s
