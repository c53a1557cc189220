"""The link with real sockets and real node processes that freeze, die, stall and come back."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
import zmq

from api.routing import PATIENCE_S
from common.limits import CONNECT_DEADLINE_MS
from common.protocol.failures import Code, Retry
from common.protocol.operations import Done, Ping
from tests.support.link import (
    Cluster,
    Stopwatch,
    delete,
    describe,
    failure_of,
    stats,
    wait_until,
    waiting_claim,
    waiting_read,
)
from tests.support.ports import free_endpoint

BOUND_S = CONNECT_DEADLINE_MS / 1000


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.close()


def test_a_call_comes_back_with_its_reply(cluster: Cluster) -> None:
    """The reply has the operation's own type, and a refusal of the node arrives as it was made."""
    cluster.add()
    client = cluster.client()
    assert client.call(Ping()) == Done()
    refusal = failure_of(lambda: client.call(describe("refused"), request_id="r-1"))
    assert (refusal.code, refusal.field, refusal.text) == (Code.QUEUE_NOT_FOUND, "queue_name", "r-1")


def test_many_greenlets_share_one_socket_without_mixing_their_replies(cluster: Cluster) -> None:
    """Each of 200 greenlets gets the replies to its own requests."""
    cluster.add()
    client = cluster.client()

    def ask(number: int) -> bool:
        names = [f"q-{number}-{turn}" for turn in range(10)]
        return all(getattr(client.call(describe(name)), "queue", "") == name for name in names)

    asked = [gevent.spawn(ask, number) for number in range(200)]
    gevent.joinall(asked, raise_error=True)
    assert all(greenlet.value for greenlet in asked)


def test_without_a_node_a_call_fails_in_time_and_may_be_repeated(cluster: Cluster) -> None:
    """Nothing listens: UNAVAILABLE within two seconds, with a time to come back."""
    client = cluster.client(free_endpoint())
    watch = Stopwatch()
    failure = failure_of(lambda: client.call(delete("inbox")))
    assert watch.seconds < BOUND_S
    assert (failure.code, failure.retry) == (Code.UNAVAILABLE, Retry.LATER)
    assert failure.retry_after_ms > 0
    assert not client.ready()


def test_a_killed_node_fails_what_it_held_and_its_successor_serves(cluster: Cluster) -> None:
    """Handed over and lost is OUTCOME_UNKNOWN at once; the client finds the restarted node by itself."""
    node = cluster.add()
    client = cluster.client()
    assert client.ready()
    held = gevent.spawn(failure_of, lambda: client.call(delete("slow-30")))
    wait_until(lambda: len(stats(client)) > 0, 5)
    node.kill()
    watch = Stopwatch()
    assert held.get(timeout=5).code is Code.OUTCOME_UNKNOWN
    assert watch.seconds < BOUND_S
    failure = failure_of(lambda: client.call(delete("inbox")))
    assert failure.code is Code.UNAVAILABLE
    node.start()
    watch = Stopwatch()
    wait_until(client.ready, 3)
    assert stats(client)["pid"] == node.process.pid


def test_a_call_that_begins_while_the_node_restarts_is_served(cluster: Cluster) -> None:
    """Nothing was handed over, so the call waits for a node that is back soon enough instead of failing."""
    node = cluster.add()
    client = cluster.client()
    for _ in range(10):
        assert client.ready()
        node.kill()
        watch = Stopwatch()
        call = gevent.spawn(client.call, delete("inbox"))
        gevent.sleep(0)
        node.start()
        if watch.seconds < PATIENCE_S / 2:
            assert call.get(timeout=5)
            return
        call.join()
        wait_until(client.ready, 5)
    pytest.fail(f"no node was back within {PATIENCE_S / 2} s")


def test_a_frozen_node_is_noticed(cluster: Cluster) -> None:
    """A node that stops without a word: what it holds fails within two seconds; thawed, it serves again."""
    node = cluster.add()
    client = cluster.client()
    assert client.ready()
    node.signal(signal.SIGSTOP)
    try:
        watch = Stopwatch()
        assert failure_of(lambda: client.call(delete("inbox"))).code is Code.OUTCOME_UNKNOWN
        assert watch.seconds < BOUND_S
        watch = Stopwatch()
        assert failure_of(lambda: client.call(delete("inbox"))).code is Code.UNAVAILABLE
        assert watch.seconds < BOUND_S
    finally:
        node.signal(signal.SIGCONT)
    wait_until(client.ready, 5)
    assert client.call(delete("inbox"))


def test_garbage_harms_nobody(cluster: Cluster) -> None:
    """Random bytes, foreign protocols and malformed frames are counted; requests are served meanwhile."""
    node = cluster.add()
    client = cluster.client()
    host, port = node.endpoint.removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(range(256)) * 40)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 1_000)
        dealer.connect(node.endpoint)
        for junk in (b"", b"\xc1", b"\x94\x01\x02\x03\x04", b"\xdd\xff\xff\xff\xff", b"x" * 100_000):
            dealer.send(junk)
        dealer.send_multipart([b"", b"\x90"])
    wait_until(lambda: stats(client)["counters"]["malformed"] >= 6, 5)
    context.term()
    assert "frame_malformed" in node.log.read_text()
    assert client.call(delete("inbox"))


def test_a_defect_in_a_handler_is_answered(cluster: Cluster) -> None:
    """A handler that raises, or returns what can't be encoded, fails its own request only; the log has the cause."""
    node = cluster.add()
    client = cluster.client()
    for queue in ("crash", "unencodable"):
        failure = failure_of(lambda queue=queue: client.call(delete(queue)))  # type: ignore[misc]
        assert failure.code is Code.INTERNAL
    assert client.call(describe("inbox"))
    assert "ZeroDivisionError" in node.log.read_text()


def test_overload_is_refused_at_once(cluster: Cluster) -> None:
    """What exceeds the bound is refused with a time to come back, while the rest is being served."""
    cluster.add(in_flight_max=8)
    client = cluster.client()
    assert client.ready()
    held = [gevent.spawn(client.call, delete("slow-1")) for _ in range(8)]
    gevent.sleep(0.1)
    watch = Stopwatch()
    failure = failure_of(lambda: client.call(delete("inbox")))
    assert watch.seconds < 0.5
    assert (failure.code, failure.retry_after_ms > 0) == (Code.OVERLOADED, True)
    gevent.joinall(held, raise_error=True)
    assert client.call(delete("inbox"))


def test_waiting_requests_take_nothing_from_the_others(cluster: Cluster) -> None:
    """Long polls count apart from requests that are being worked on."""
    cluster.add(in_flight_max=8)
    client = cluster.client()
    waiting = [gevent.spawn(client.call, waiting_read(1_000), wait_ms=1_000) for _ in range(50)]
    wait_until(lambda: stats(client)["waiting"] == 50, 5)
    gevent.joinall(waiting, raise_error=True)


def test_a_killed_greenlet_makes_the_node_forget(cluster: Cluster) -> None:
    """The waiting request of a client that went away is cancelled in the node."""
    cluster.add()
    client = cluster.client()
    waiting = [gevent.spawn(client.call, waiting_claim(60_000), wait_ms=60_000) for _ in range(3)]
    wait_until(lambda: stats(client)["waiting"] == 3, 5)
    gevent.killall(waiting)
    wait_until(lambda: stats(client)["waiting"] == 0, 5)
    assert stats(client)["cancelled"] == 3


def test_the_requests_of_a_front_end_that_died_are_forgotten(cluster: Cluster) -> None:
    """The node notices that a connection is gone and cancels what waits for nobody."""
    node = cluster.add()
    watcher, gone = cluster.client(), cluster.client()
    waiting = gevent.spawn(failure_of, lambda: gone.call(waiting_claim(60_000), wait_ms=60_000))
    wait_until(lambda: stats(watcher)["waiting"] == 1, 5)
    gone.close()
    assert waiting.get(timeout=5).code is Code.OUTCOME_UNKNOWN
    wait_until(lambda: stats(watcher)["waiting"] == 0, 10)
    assert node.process.poll() is None


def test_reads_go_on_to_another_node(cluster: Cluster) -> None:
    """With one of three nodes frozen every read is answered, and every change has a certain or unknown outcome."""
    nodes = [cluster.add() for _ in range(3)]
    client = cluster.client(*(node.endpoint for node in nodes))
    assert client.ready()
    wait_until(lambda: len({stats(client, f"q{number}")["pid"] for number in range(40)}) == 3, 5)
    nodes[1].signal(signal.SIGSTOP)
    try:
        watch = Stopwatch()
        reads = [gevent.spawn(client.call, describe(f"q{number}")) for number in range(40)]
        keyed = [gevent.spawn(client.call, delete(f"k{number}"), fail_over=True) for number in range(20)]
        gevent.joinall([*reads, *keyed], raise_error=True, timeout=10)
        assert all(greenlet.ready() for greenlet in [*reads, *keyed])
        assert watch.seconds < BOUND_S
    finally:
        nodes[1].signal(signal.SIGCONT)


def test_a_new_node_is_used_soon_and_a_dead_one_is_not(cluster: Cluster) -> None:
    """Within three seconds of its entry in the register a node gets its share; a killed one costs no call."""
    first = cluster.add()
    client = cluster.client()
    assert {stats(client, f"q{number}")["pid"] for number in range(20)} == {first.process.pid}
    second = cluster.add()
    wait_until(lambda: second.process.pid in {stats(client, f"q{number}")["pid"] for number in range(20)}, 3)
    second.kill()
    gevent.sleep(0.05)
    assert {stats(client, f"q{number}")["pid"] for number in range(20)} == {first.process.pid}
    for number in range(20):
        assert client.call(delete(f"q{number}"))


def test_a_drained_node_loses_no_request(cluster: Cluster) -> None:
    """SIGTERM under load with a second node there: every call succeeds, waiting ones end at once."""
    leaving, _ = cluster.add(), cluster.add()
    client = cluster.client(*(node.endpoint for node in cluster.nodes))
    assert client.ready()
    wait_until(lambda: len({stats(client, f"q{number}")["pid"] for number in range(40)}) == 2, 5)
    stop = gevent.event.Event()

    def work(number: int) -> int:
        calls = 0
        while not stop.is_set():
            assert client.call(delete(f"q{number}-{calls}"))
            calls += 1
        return calls

    workers = [gevent.spawn(work, number) for number in range(20)]
    waiting = [gevent.spawn(client.call, waiting_claim(4_000, f"w{n}"), wait_ms=4_000) for n in range(10)]
    slow = [gevent.spawn(client.call, delete("slow-1")) for _ in range(3)]
    gevent.sleep(0.3)
    leaving.signal(signal.SIGTERM)
    assert leaving.wait() == 0
    stop.set()
    gevent.joinall(workers, raise_error=True)
    gevent.joinall(slow, raise_error=True)
    gevent.joinall(waiting, raise_error=True, timeout=10)
    assert all((worker.value or 0) > 10 for worker in workers)


def test_a_slow_handler_ends_in_an_unknown_outcome_at_the_deadline(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits longer than the call's own deadline."""
    cluster.add()
    client = cluster.client()
    assert client.ready()
    monkeypatch.setattr("api.node_client.REQUEST_DEADLINE_MS", 500)
    watch = Stopwatch()
    assert failure_of(lambda: client.call(delete("slow-30"))).code is Code.OUTCOME_UNKNOWN
    assert 0.4 < watch.seconds < 1.5
