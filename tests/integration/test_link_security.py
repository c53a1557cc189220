"""The encrypted link: real nodes with keys, and front ends with the right, a wrong and no key."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import zmq
from structlog.testing import capture_logs

from api.node_client import NodeClient
from common.protocol.operations import ListMembers, Members
from tests.support.deployment import Deployment, key_of
from tests.support.link import ROOT, wait_until
from tests.support.ports import free_endpoint, free_ports

QUEUEY = str(Path(sys.executable).with_name("queuey"))


class Pair:
    """A key pair whose secret is in a file."""

    def __init__(self, file: Path) -> None:
        made = subprocess.run([QUEUEY, "curve-key", str(file), "--json"], cwd=ROOT, check=True, capture_output=True)
        self.file = file
        self.public: str = json.loads(made.stdout)["public_key"]
        self.secret = file.read_text().strip()


class Keys:
    """The keys of one node and of the front ends that it lets in."""

    def __init__(self, directory: Path) -> None:
        self.node = Pair(directory / "node.key")
        self.front = Pair(directory / "front.key")


class KeyedNode:
    """One storage node on all addresses, which only front ends with a key may reach."""

    def __init__(self, directory: Path, keys: Keys) -> None:
        self.endpoint = free_endpoint()
        (self._metrics_port,) = free_ports(1)
        self.seed = f"{self.endpoint} {keys.node.public}"
        self._log = directory / "node.log"
        self._file = directory / "queuey.toml"
        port = self.endpoint.rpartition(":")[2]
        self._file.write_text(
            f'[api]\nnodes = ["{self.seed}"]\ncurve_secret_file = "front.key"\n'
            f'[storage_node]\nbind = "tcp://0.0.0.0:{port}"\nadvertise = "{self.endpoint}"\n'
            f'curve_secret_file = "node.key"\nallowed_keys = ["{keys.front.public}"]\n'
            f'metrics_bind = "127.0.0.1:{self._metrics_port}"\n'
            f'[applications.notes]\nkey_sha256 = "{"0" * 64}"\n'
        )
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "storage_node"],
                cwd=ROOT,
                env={**os.environ, "QUEUEY_CONFIG": str(self._file)},
                stderr=log,
            )

    def refusals(self) -> list[dict[str, object]]:
        """Return what the node logged of connections that did not get in."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.endswith("}")]
        return [line for line in lines if line["event"] == "link_refused"]

    def counted(self) -> float:
        """Return how many refused connections its metrics show."""
        shown = requests.get(f"http://127.0.0.1:{self._metrics_port}/metrics", timeout=10).text
        (found,) = re.findall(r'^queuey_node_drops_total\{reason="link_refused"\} (\S+)$', shown, re.M)
        return float(found)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


@pytest.fixture
def node(tmp_path: Path, keys: Keys) -> Iterator[KeyedNode]:
    running = KeyedNode(tmp_path, keys)
    yield running
    running.close()


@pytest.fixture
def clients() -> Iterator[list[NodeClient]]:
    made: list[NodeClient] = []
    yield made
    for client in made:
        client.close()


def test_a_front_end_with_an_allowed_key_is_served(node: KeyedNode, keys: Keys, clients: list[NodeClient]) -> None:
    """It learns the node's key from the register as well."""
    client = NodeClient([node.seed], curve_secret=keys.front.secret)
    clients.append(client)
    wait_until(client.ready, 20)
    members = client.call(ListMembers())
    assert isinstance(members, Members)
    assert [(member.address, member.curve_key) for member in members.members] == [(node.endpoint, keys.node.public)]
    assert not node.refusals()


@pytest.mark.parametrize("kind", ["unknown key", "plain", "another node's key"])
def test_who_has_no_right_key_is_refused_logged_and_counted(
    node: KeyedNode, keys: Keys, clients: list[NodeClient], tmp_path: Path, kind: str
) -> None:
    """And who has one is served all the same."""
    stranger = Pair(tmp_path / "stranger.key")
    seed, secret = {
        "unknown key": (node.seed, stranger.secret),
        "plain": (node.endpoint, ""),
        "another node's key": (f"{node.endpoint} {stranger.public}", keys.front.secret),
    }[kind]
    refused = NodeClient([seed], curve_secret=secret)
    clients.append(refused)
    with capture_logs() as lines:
        wait_until(lambda: refused.ready() or node.refusals(), 20)
        if kind != "another node's key":
            wait_until(lambda: any(line["event"] == "node_link_refused" for line in lines), 20)
    assert not refused.ready()
    assert node.refusals()[-1]["total"]
    assert node.counted()
    served = NodeClient([node.seed], curve_secret=keys.front.secret)
    clients.append(served)
    wait_until(served.ready, 20)


def test_a_front_end_does_not_speak_unencrypted_beyond_its_machine(clients: list[NodeClient]) -> None:
    """Whatever the register says: a node without a key at such an address is not connected."""
    client = NodeClient(["tcp://192.0.2.1:5570"])
    clients.append(client)
    with capture_logs() as lines:
        assert not client.ready()
    assert [line["node"] for line in lines if line["event"] == "node_link_refused"] == ["tcp://192.0.2.1:5570"]


def test_no_secret_is_in_a_log_a_metric_or_a_process_list(tmp_path: Path, keys: Keys) -> None:
    """A whole service with keys on its link, calls that fail among those that succeed."""
    endpoint = free_endpoint()
    with Deployment(tmp_path) as deployment:
        shown_at = [f"127.0.0.1:{port}" for port in free_ports(2)]
        _configure(tmp_path / "queuey.toml", keys, endpoint, shown_at)
        deployment.restart()
        api = deployment.api()
        api.post("", data={"queue_name": "secrets"}).raise_for_status()
        api.post("secrets", data="body-b5ea").raise_for_status()
        assert deployment.api(key="a-wrong-key-77").get("secrets").status_code == 401
        receipt = api.post("secrets/claims", json={}).json()["claims"][0]["receipt"]
        assert api.post("secrets/acks", json={"receipts": [receipt + "x"]}).status_code == 400
        secrets = [keys.node.secret, keys.front.secret, key_of("queuey"), "a-wrong-key-77", "body-b5ea", receipt]
        digests = [hashlib.sha256(key_of("queuey").encode()).hexdigest()]
        metrics = [requests.get(f"http://{place}/metrics", timeout=10).text for place in shown_at]
        assert all("queuey_" in text for text in metrics)
        seen = (
            metrics
            + _commands(deployment)
            + [file.read_text(errors="replace") for file in (tmp_path / "run").glob("*.log")]
        )
    assert len(seen) >= 6
    assert not [secret for secret in secrets + digests for text in seen if secret in text]


def test_keys_are_made_once_and_shown_again(tmp_path: Path) -> None:
    """The secret is its owner's alone, and no file is overwritten."""
    pair = Pair(tmp_path / "key")
    assert pair.file.stat().st_mode & 0o777 == 0o600
    command = [QUEUEY, "curve-key", str(pair.file)]
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "exists" in again.stderr
    shown = subprocess.run([*command, "--show"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == pair.public == zmq.curve_public(pair.secret.encode()).decode()
    assert pair.secret not in shown.stdout + shown.stderr + again.stdout + again.stderr


def _configure(file: Path, keys: Keys, endpoint: str, shown_at: list[str]) -> None:
    """Put keys on the link, and show the metrics of front ends and node."""
    text = file.read_text()
    api, _, rest = text.partition("[storage_node]\n")
    old = next(line for line in rest.splitlines() if line.startswith("bind"))
    file.write_text(
        f'{api}nodes = ["{endpoint} {keys.node.public}"]\ncurve_secret_file = "front.key"\n'
        f'metrics_bind = "{shown_at[0]}"\n[storage_node]\nmetrics_bind = "{shown_at[1]}"\n'
        + rest.replace(
            old,
            f'bind = "{endpoint}"\ncurve_secret_file = "node.key"\nallowed_keys = ["{keys.front.public}"]',
        )
    )


def _commands(deployment: Deployment) -> list[str]:
    """Return the command lines of all processes of the service."""
    groups = {deployment.node.pid, deployment.front.pid}
    return [
        Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
        for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
        if _group_or_none(pid) in groups
    ]


def _group_or_none(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
