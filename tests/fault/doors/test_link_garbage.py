"""Anything but the protocol on a real node's port; and the link's losses, which a front end counts."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import msgpack
import requests
import zmq

from tests.support.deployment import Deployment
from tests.support.operations import set_in_table
from tests.support.ports import free_ports
from tests.support.service import wait_until

PIECES = (
    b"GET / HTTP/1.1\r\nHost: q\r\n\r\n",
    b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f",
    b"\xff" + b"\x00" * 8 + b"\x7f\x03\x00NULL" + b"\x00" * 48 + b"\x02\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
)
FRAMES = (b"", b"\xc1", b"\x00" * 100, msgpack.packb([1, 2, 3]), msgpack.packb([1, 7, "nothing", 0, 0, "", "", []]))


def test_garbage_on_the_nodes_port_is_logged_and_harms_nobody(tmp_path: Path) -> None:
    """Foreign protocols, greetings that lie about lengths, random bytes, broken frames, and connections left open."""
    with Deployment(tmp_path) as deployment:
        api = deployment.api()
        assert api.post("", data={"queue_name": "q"}).status_code == 201
        port = int(node_address(tmp_path).rpartition(":")[2])
        open_ones = []
        for piece in (*PIECES, *(os.urandom(10_000) for _ in range(20))):
            client = socket.create_connection(("127.0.0.1", port), 5)
            client.sendall(piece)
            open_ones.append(client)
        with zmq.Context() as context, context.socket(zmq.DEALER) as stranger:
            stranger.setsockopt(zmq.LINGER, 1_000)
            stranger.connect(f"tcp://127.0.0.1:{port}")
            for frame in FRAMES:
                stranger.send(frame)
            stranger.send_multipart([b"two", b"frames"])
        assert [api.post("q", data=b"x").status_code for _ in range(5)] == [201] * 5
        wait_until(lambda: '"frame_malformed"' in deployment.node.log(1_000), within_s=10, what="a line in the log")
        for client in open_ones:
            client.close()
        assert len(api.get("q").json()["messages"]) == 5
        assert deployment.node.is_running()


def node_address(directory: Path) -> str:
    (line,) = (line for line in (directory / "queuey.toml").read_text().splitlines() if "tcp://" in line)
    return line.partition('"')[2].rstrip('"')


def test_what_a_link_lost_is_counted_by_node(tmp_path: Path) -> None:
    """A node that freezes with a request: the front end shows it under the node's address, with the reason."""
    (metrics_port,) = free_ports(1)
    deployment = Deployment(tmp_path)
    set_in_table(deployment, "api", f'metrics_bind = "127.0.0.1:{metrics_port}"')
    with deployment:
        api = deployment.api()
        assert api.post("", data={"queue_name": "q"}).status_code == 201
        deployment.node.signal(signal.SIGSTOP)
        answer = api.post("q", data=b"x")
        deployment.node.signal(signal.SIGCONT)
        assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown")
        shown = requests.get(f"http://127.0.0.1:{metrics_port}/metrics", timeout=10).text
        begin = f'queuey_link_lost_total{{node="{node_address(tmp_path)}",reason="peer_gone"}}'
        (line,) = (line for line in shown.splitlines() if line.startswith(begin))
        assert float(line.split()[-1]) >= 1
