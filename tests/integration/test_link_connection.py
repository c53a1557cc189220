"""One connection of a front end to a real node: what became of a request when there is no answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
import zmq

from api.node_client_connection import Connection
from api.routing import Lost
from common.clock import SYSTEM_CLOCK
from common.protocol.codec import encode_request
from common.protocol.envelope import Answer, Request
from tests.support.link import Cluster, describe, stats, wait_until


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.close()


@pytest.fixture
def connection(cluster: Cluster) -> Iterator[Connection]:
    """A connection that is up."""
    node = cluster.add()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made = Connection(context, node.endpoint, on_change=lambda: None, now_s=SYSTEM_CLOCK.monotonic_s)
    wait_until(lambda: made.usable, 10)
    yield made
    made.close()
    context.destroy(linger=0)


def request(number: int, queue: str) -> bytes:
    """The frame of a request; the node takes 30 s for the queue ``slow-30``."""
    return encode_request(Request(request_id=number, operation=describe(queue), sent_ms=0, budget_ms=60_000))


def test_requests_of_one_turn_are_all_answered(connection: Connection) -> None:
    """None of them is sent before the hub has its turn, all of them are then."""
    sent = [connection.send(number, request(number, "inbox")) for number in range(1, 101)]
    outcomes = [pending.wait(10) for pending in sent]
    assert [outcome.request_id for outcome in outcomes if isinstance(outcome, Answer)] == list(range(1, 101))


def test_what_was_not_given_to_zeromq_is_known_not_to_have_begun(connection: Connection) -> None:
    """The connection ends in the turn in which the second request came: the first may have been done, it was not."""
    given = connection.send(1, request(1, "slow-30"))
    gevent.sleep(0.1)
    kept = connection.send(2, request(2, "slow-30"))
    connection.close()
    assert given.wait(5) is Lost.PEER_GONE
    assert kept.wait(5) is Lost.NOT_SENT


def test_what_nobody_waits_for_any_more_is_not_sent(cluster: Cluster, connection: Connection) -> None:
    """A request that was given up in its own turn never reaches the node."""
    connection.send(1, request(1, "given-up"))
    connection.forget(1)
    assert isinstance(connection.send(2, request(2, "inbox")).wait(10), Answer)
    assert stats(cluster.client())["done"].keys() == {"inbox", "stats"}
