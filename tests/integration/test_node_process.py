"""``python -m storage_node``: ready line, SIGTERM, and what it refuses to start with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.node_client import NodeClient
from common.protocol.operations import Member
from tests.support.link import ROOT, wait_until
from tests.support.ports import free_endpoint

CONFIGURATION = """
[store]
path = "q.sqlite3"
[storage_node]
bind = "{endpoint}"
[applications.notes]
key_sha256 = "{digest}"
"""


class Node:
    """One node over a file in ``directory``."""

    def __init__(self, directory: Path, endpoint: str) -> None:
        self.endpoint = endpoint
        self._file = directory / "queuey.toml"
        self._file.write_text(CONFIGURATION.format(endpoint=endpoint, digest="0" * 64))
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "storage_node", *arguments],
            cwd=ROOT,
            env={**os.environ, "QUEUEY_CONFIG": str(self._file)},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def close(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()


def next_event(process: subprocess.Popen[str]) -> dict[str, object]:
    assert process.stderr is not None
    line: dict[str, object] = json.loads(process.stderr.readline())
    return line


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path, free_endpoint())
    yield made
    made.close()


def test_a_node_says_when_it_is_ready_and_ends_on_sigterm(node: Node) -> None:
    """A client finds it and its store, and it as the only member; SIGTERM ends it with status 0."""
    process = node.start()
    ready = next_event(process)
    assert (ready["event"], ready["endpoint"], ready["process"]) == ("node_ready", node.endpoint, "storage_node_0")
    client = NodeClient([node.endpoint])
    assert client.ready()
    wait_until(lambda: client.members()[0].version, 5)
    (member,) = client.members()
    assert isinstance(member, Member)
    assert member.address == node.endpoint
    client.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert [next_event(process)["event"] for _ in range(2)] == ["node_draining", "node_stopped"]


def test_the_number_of_a_process_moves_its_port(node: Node) -> None:
    """Process 1 listens one port further."""
    ready = next_event(node.start("--process", "1"))
    assert int(str(ready["endpoint"]).rpartition(":")[2]) == int(node.endpoint.rpartition(":")[2]) + 1


def test_a_second_node_on_the_same_file_is_refused(node: Node) -> None:
    """It ends with a line that says why, and the first one goes on."""
    first = node.start()
    assert next_event(first)["event"] == "node_ready"
    second = node.start()
    assert next_event(second)["event"] == "store_not_opened"
    assert second.wait(10) == 1
    assert first.poll() is None


def test_an_endpoint_in_use_is_refused(node: Node, tmp_path: Path) -> None:
    """Another file, the same port."""
    assert next_event(node.start())["event"] == "node_ready"
    (tmp_path / "other").mkdir()
    other = Node(tmp_path / "other", node.endpoint)
    refused = other.start()
    event = next_event(refused)
    assert event["event"] == "endpoint_not_bound"
    assert node.endpoint in str(event["error"])
    assert refused.wait(10) == 1
    other.close()


def test_a_wrong_configuration_is_refused_with_all_its_problems(node: Node) -> None:
    """Status 78, and each problem in the line."""
    file = Path(node._file)
    file.write_text('[store]\nbackend = "paper"\n[api]\nworkers = 0\n')
    process = node.start()
    event = next_event(process)
    assert event["event"] == "configuration_refused"
    problems = event["problems"]
    assert isinstance(problems, list)
    assert len(problems) >= 2
    assert process.wait(10) == 78
