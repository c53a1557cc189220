"""Keys of nodes come from the register, and may change while front ends run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from api.node_client import NodeClient
from tests.support.link import Cluster, NodeProcess, stats, wait_until
from tests.support.ports import free_endpoint


def pair() -> tuple[str, str]:
    """Return a public and a secret key."""
    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.close()


def test_a_node_that_comes_back_with_another_key_is_connected_anew(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other node tells its new key; the front end is neither configured nor restarted."""
    front_public, front_secret = pair()
    told = cluster.add(announce=False)
    client = NodeClient([told.endpoint], curve_secret=front_secret)
    cluster.clients.append(client)
    keyed = NodeProcess(free_endpoint(), cluster.members_file)
    cluster.nodes.append(keyed)
    for _ in range(2):
        public, secret = pair()
        with monkeypatch.context() as changed:
            changed.setenv("QUEUEY_TEST_CURVE", f"{secret} {front_public}")
            keyed.start()
        cluster.members_file.write_text(f"{told.endpoint}\n{keyed.endpoint} {public}\n")
        wait_until(lambda: _reaches(client, keyed), 20)
        keyed.kill()


def _reaches(client: NodeClient, node: NodeProcess) -> bool:
    """Does any of many queues lead to this node?"""
    return node.process.pid in {stats(client, f"queue-{number}")["pid"] for number in range(20)}
