"""Several storage nodes on one Cassandra behind front ends that are never restarted: how soon a new one is used, a
dead or silent one avoided, and what becomes of the calls that it had.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import requests
import zmq

from api.node_client import NodeClient
from common.limits import PUBLISH_DEADLINE_MS, REQUEST_DEADLINE_MS
from common.protocol.operations import ListMembers, Members
from tests.support.cassandra_store import store_lines
from tests.support.deployment import Api
from tests.support.http_calls import bodies, post, read
from tests.support.service import wait_until
from tests.support.several_nodes import FRONT_END_WORKERS, SeveralNodes

pytestmark = [pytest.mark.cassandra, pytest.mark.timeout(600)]

USED_WITHIN_S = 3.0
AVOIDED_WITHIN_S = 10.0
DEADLINE_S = max(PUBLISH_DEADLINE_MS, REQUEST_DEADLINE_MS) / 1000 + 1.0
"""Seconds after which every call has its answer; one for the way and a slow machine."""
LOADED_S = 2.0
"""Seconds of load before and after what happens to a node."""
BOTH = (0, 1)


@dataclass(frozen=True)
class Answer:
    """One call: when it began and ended, and what came of it."""

    kind: str
    began_s: float
    ended_s: float
    status: int
    code: str
    body: str

    @property
    def is_ok(self) -> bool:
        return self.status in (200, 201)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeveralNodes]:
    """Three nodes of which the first runs; each test leaves it so that ``running`` can tidy it."""
    lines = store_lines(1, keyspace=f"several_{os.urandom(4).hex()}")
    made = SeveralNodes(tmp_path_factory.mktemp("several"), nodes=3, store=lines)
    with made:
        yield made


@pytest.fixture
def two(service: SeveralNodes) -> SeveralNodes:
    """Nodes 0 and 1 run and are used, node 2 does not."""
    return running(service, BOTH)


def running(service: SeveralNodes, wanted: tuple[int, ...]) -> SeveralNodes:
    """Return once exactly these nodes run and are used."""
    for number, node in enumerate(service.nodes):
        if node.is_running() and number not in wanted:
            node.stop()
        if not node.is_running() and number in wanted:
            node.start()
    for number in wanted:
        wait_until(lambda number=number: is_used(service, number, wanted), within_s=60, what=f"node {number}")  # type: ignore[misc]
    return service


def is_used(service: SeveralNodes, number: int, among: tuple[int, ...]) -> bool:
    """Make a queue that front ends send to the node: was it the node that served its first message?"""
    queue = service.new_queue("queuey", number, among)
    return service.api().post(queue, data="hello").ok and service.served(number, queue) > 0


def queue_at(service: SeveralNodes, application: str, number: int) -> str:
    """Make a queue that front ends send to this one of two nodes; every front-end process knows it then."""
    name = service.new_queue(application, number, BOTH)
    for count in range(8 * FRONT_END_WORKERS):
        with service.api(application) as api:
            post(api, name, f"first {count}")
    return name


def call(kind: str, api: Api, method: str, path: str, **more: object) -> Answer:
    """Make one call; whatever comes of it is an answer."""
    began_s = time.monotonic()
    try:
        reply = api.request(method, path, **more)
        code = "" if reply.ok else str(reply.json()["code"])
        return Answer(kind, began_s, time.monotonic(), reply.status_code, code, reply.text)
    except requests.RequestException as error:
        return Answer(kind, began_s, time.monotonic(), 0, type(error).__name__, str(error))


class Load:
    """Reads and publishes on one node's queues without a pause, each kind from a thread of its own."""

    def __init__(self, service: SeveralNodes, number: int) -> None:
        self._ending = threading.Event()
        self.answers: list[Answer] = []
        plain, once, most = (queue_at(service, name, number) for name in ("queuey", "careful", "careless"))
        self.once, self.keyed = once, 0
        self._threads = [
            threading.Thread(target=self._work, args=each)
            for each in (
                ("read", service.api(), "GET", plain),
                ("plain", service.api(), "POST", plain),
                ("keyed", service.api("careful"), "POST", once),
                ("most", service.api("careless"), "POST", most),
            )
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        time.sleep(LOADED_S)
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep(LOADED_S)
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _work(self, kind: str, api: Api, method: str, path: str) -> None:
        while not self._ending.is_set():
            more: dict[str, object] = {}
            if kind == "keyed":
                self.keyed += 1
                more = {"data": f"keyed {self.keyed}", "headers": {"Idempotency-Key": f"key-{self.keyed}"}}
            elif method == "POST":
                more = {"data": kind}
            self.answers.append(call(kind, api, method, path, **more))

    def failed(self, kind: str) -> list[Answer]:
        """Return the answers of a kind that are no success."""
        return [answer for answer in self.answers if answer.kind == kind and not answer.is_ok]

    def check(self, event_s: float) -> float:
        """Check all answers around what happened to the node then; return the seconds until the last failure."""
        assert not self.failed("read"), self.failed("read")
        assert not self.failed("keyed"), self.failed("keyed")
        failed = self.failed("plain") + self.failed("most")
        assert all((answer.status, answer.code) == (503, "outcome_unknown") for answer in failed), failed
        assert max(answer.ended_s - answer.began_s for answer in self.answers) < DEADLINE_S
        assert {answer.kind for answer in self.answers if answer.began_s > event_s} == {
            "read",
            "plain",
            "keyed",
            "most",
        }
        return max((answer.began_s - event_s for answer in failed), default=0.0)


def stored(api: Api, queue: str) -> list[object]:
    """Return the bodies of all messages of a queue with a fenced log."""
    found: list[object] = []
    query = {"limit": "1000"}
    while True:
        reply = api.get(queue, params=query).json()
        if not reply["messages"]:
            return found
        found += bodies(reply["messages"])
        query["cursor"] = reply["next"]


def test_a_node_that_starts_is_used_within_three_seconds(
    two: SeveralNodes,
) -> None:
    """From its ready line to the first call that it serves; no call fails meanwhile."""
    name, api = two.new_queue("queuey", 2, (0, 1, 2)), two.api()
    begun, served = two.starts(2), two.served(2, name)
    started_s = time.monotonic()
    two.nodes[2].start()
    ready_s = 0.0
    while two.served(2, name) == served:
        assert time.monotonic() - started_s < 60, two.logs()
        post(api, name)
        if not ready_s and two.starts(2) > begun:
            ready_s = time.monotonic()
    used_s = time.monotonic() - ready_s
    print(f"ready {ready_s - started_s:.2f} s after the start of the process, used {used_s:.2f} s later")
    assert used_s < USED_WITHIN_S


def test_a_node_that_is_killed_fails_only_what_it_held(two: SeveralNodes) -> None:
    """Under load, kill -9: reads and keyed publishes never fail; the others fail only if the node had them."""
    with Load(two, 1) as load:
        killed_s = time.monotonic()
        two.nodes[1].kill()
    avoided_s = load.check(killed_s)
    print(f"{len(load.answers)} calls; the last that failed began {avoided_s:.3f} s after the kill")
    assert avoided_s < 0.5, "only a call that was under way may fail"
    found = stored(two.api("careful"), load.once)
    assert len(found) == len(set(found)), "a keyed publish was stored twice"
    assert {f"keyed {number}" for number in range(1, load.keyed + 1)} <= set(found)


def test_a_node_that_falls_silent_is_avoided_within_ten_seconds(two: SeveralNodes) -> None:
    """Frozen, as if its machine had vanished: no connection breaks.  Thawed, it is used again."""
    with Load(two, 1) as load:
        frozen_s = time.monotonic()
        two.nodes[1].signal(signal.SIGSTOP)
        time.sleep(3.0)
    avoided_s = load.check(frozen_s)
    print(f"{len(load.answers)} calls; the last that failed began {avoided_s:.3f} s after the silence")
    assert avoided_s < AVOIDED_WITHIN_S
    two.nodes[1].signal(signal.SIGCONT)
    begun_s = time.monotonic()
    wait_until(lambda: is_used(two, 1, BOTH), within_s=USED_WITHIN_S, what="return of the node")
    print(f"used {time.monotonic() - begun_s:.2f} s after it went on")
    found = stored(two.api("careful"), load.once)
    assert len(found) == len(set(found)), "a keyed publish was stored twice"


def test_what_a_killed_node_had_accepted_fails_over_or_is_unknown(two: SeveralNodes) -> None:
    """Calls handed to a node that then dies: a read and keyed publishes are answered by another, the rest 503."""
    queues = {name: queue_at(two, name, 1) for name in ("queuey", "careful", "careless")}
    key = {"Idempotency-Key": "one"}
    wanted: dict[str, tuple[str, str, dict[str, object]]] = {
        "read": ("queuey", "GET", {}),
        "plain": ("queuey", "POST", {"data": "x"}),
        "most": ("careless", "POST", {"data": "x"}),
        "once": ("careful", "POST", {"data": "without a key"}),
        "once and keyed": ("careful", "POST", {"data": "with a key", "headers": key}),
        "claim": ("queuey", "POST", {"json": {"limit": 1}}),
    }
    two.nodes[1].signal(signal.SIGSTOP)
    with ThreadPoolExecutor(len(wanted)) as pool:
        asked: dict[str, Future[Answer]] = {}
        for kind, (application, method, more) in wanted.items():
            path = queues[application] + ("/claims" if kind == "claim" else "")
            asked[kind] = pool.submit(call, kind, two.api(application), method, path, **more)
        time.sleep(0.4)
        assert not [kind for kind, future in asked.items() if future.done()], "the node was to hold them all"
        two.nodes[1].kill()
        answers = {kind: future.result(DEADLINE_S) for kind, future in asked.items()}
    for kind in ("read", "once", "once and keyed"):
        assert answers[kind].is_ok, answers[kind]
    for kind in ("plain", "most", "claim"):
        assert (answers[kind].status, answers[kind].code) == (503, "outcome_unknown"), answers[kind]
    assert max(answer.ended_s - answer.began_s for answer in answers.values()) < DEADLINE_S
    again = post(two.api("careful"), queues["careful"], "with a key", Idempotency_Key="one")
    assert f'"{again["key"]}"' in answers["once and keyed"].body
    found = bodies(read(two.api("careful"), queues["careful"], limit=1000))
    assert sorted(map(str, found))[-2:] == ["with a key", "without a key"]


def test_a_node_that_drains_is_shown_as_draining(two: SeveralNodes) -> None:
    """The register tells of it until it has ended; then it is gone.  Frames that still come keep it for a while."""
    client = NodeClient([two.endpoint(0)])
    with zmq.Context() as context, context.socket(zmq.DEALER) as chatter:
        chatter.setsockopt(zmq.LINGER, 0)
        chatter.connect(two.endpoint(1))
        wait_until(lambda: state_of(client, two.endpoint(1)) == "serving", within_s=10, what="member")
        two.nodes[1].signal(signal.SIGTERM)
        seen = {"serving"}

        def is_gone() -> bool:
            chatter.send(b"no request", zmq.NOBLOCK)
            seen.add(state_of(client, two.endpoint(1)))
            return "" in seen

        wait_until(is_gone, within_s=20, what="end of the node")
    client.close()
    assert seen == {"serving", "draining", ""}


def state_of(client: NodeClient, address: str) -> str:
    """Return the state of the node that started last at an address, empty if there is none."""
    answer = client.call(ListMembers())
    assert isinstance(answer, Members)
    here = [member for member in answer.members if member.address == address]
    return max(here, key=lambda member: member.started_ms).state if here else ""
