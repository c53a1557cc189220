"""The whole service on a three-node Cassandra while one of its nodes, and then a storage node, is killed.

What clients saw is recorded, and a checker looks for lost messages and gaps.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from common.limits import PUBLISH_DEADLINE_MS
from tests.fault.calls import Caller
from tests.fault.claimers import Claimer
from tests.fault.history import Call, Inflicted, Queue, Recorder, Run
from tests.fault.judging import Judged, judge
from tests.fault.publishers import Publisher
from tests.fault.readers import Reader, read_everything
from tests.support.cassandra import shared_cluster
from tests.support.cassandra_store import store_lines
from tests.support.checkers import Outcome
from tests.support.deployment import GUARANTEES
from tests.support.service import wait_until
from tests.support.several_nodes import SeveralNodes

pytestmark = [pytest.mark.cassandra, pytest.mark.timeout(600)]

SEED: Final = 4
STEADY_S: Final = 2.5
"""Seconds of undisturbed work before, between and after the faults."""
DOWN_S: Final = 4.0
"""Seconds for which a Cassandra node is gone before it is started again."""
ANSWERED_S_MAX: Final = PUBLISH_DEADLINE_MS / 1000 + 2.0
"""Seconds until the answer to any call: its deadline, a long poll's second, and one for the way."""
DRAIN_S_MAX: Final = 90.0
QUEUES: Final = (Queue("careless", "most", 2), Queue("queuey", "least", 2), Queue("careful", "once", 2))
PUBLISHERS: Final = 3
"""Per queue."""


class OneConnectionACall(Caller):
    """Never meets a connection that the front end closed because it was idle."""

    def _exchange(
        self, method: str, url: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, object], str, Outcome]:
        try:
            return super()._exchange(method, url, body, headers)
        finally:
            self.close()


class Clients:
    """Publishers, a reader and a worker for each queue, all recorded."""

    def __init__(self, url: str, recorder: Recorder) -> None:
        self._address = urlsplit(url).netloc
        self._recorder = recorder
        self._rng = random.Random(SEED)
        self._stopping, self._draining, self._following = (threading.Event() for _ in range(3))
        self._publishers = [
            Publisher(*self._for(queue, f"p{number}"), self._stopping)
            for queue in QUEUES
            for number in range(PUBLISHERS)
        ]
        self._readers = [Reader(*self._for(queue, "r"), self._following) for queue in QUEUES]
        self._workers = [
            Claimer(*self._for(queue, "w"), self._draining, leases=queue.application != "careless")
            for queue in QUEUES
        ]

    def start(self) -> None:
        """Make the queues and begin."""
        caller = Caller("creator", self._address, self._recorder)
        for queue in QUEUES:
            assert caller.create(queue).outcome is Outcome.OK
        caller.close()
        for thread in (*self._publishers, *self._readers, *self._workers):
            thread.start()

    def finish(self) -> None:
        """Publish no more, let workers and readers come to the end, and read everything once more."""
        self._end(self._stopping, self._publishers)
        self._end(self._draining, self._workers)
        self._end(self._following, self._readers)
        caller = Caller("reader of all", self._address, self._recorder)
        for queue in QUEUES:
            assert read_everything(caller, queue)
        caller.close()

    def _end(self, event: threading.Event, threads: list[Publisher] | list[Reader] | list[Claimer]) -> None:
        event.set()
        for thread in threads:
            thread.join(DRAIN_S_MAX)
            assert not thread.is_alive(), f"{thread.name} never ended"

    def _for(self, queue: Queue, letter: str) -> tuple[Caller, Queue, random.Random]:
        caller = OneConnectionACall(f"{queue.name}-{letter}", self._address, self._recorder)
        return caller, queue, random.Random(self._rng.random())


@pytest.fixture
def service(tmp_path: Path) -> Iterator[SeveralNodes]:
    """Two of three storage nodes run."""
    lines = store_lines(3, keyspace=f"history_{os.urandom(4).hex()}")
    made = SeveralNodes(tmp_path / "service", nodes=3, store=lines)
    with made:
        made.nodes[1].start()
        wait_until(lambda: made.starts(1), within_s=60, what="second node")
        yield made


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    """An empty history."""
    made = Recorder(tmp_path / "history.jsonl")
    made.add(Run(SEED, 0.0, "", dict(GUARANTEES), QUEUES))
    yield made
    made.close()


def test_nothing_acknowledged_is_lost_while_nodes_of_both_kinds_die(
    service: SeveralNodes, recorder: Recorder
) -> None:
    """A Cassandra node is killed and comes back; then a storage node is killed and another one added."""
    clients = Clients(service.url, recorder)
    clients.start()
    time.sleep(STEADY_S)
    lose_and_bring_back_a_cassandra_node(recorder)
    time.sleep(STEADY_S)
    replace_a_storage_node(service, recorder)
    time.sleep(STEADY_S)
    clients.finish()
    recorder.close()
    judged = judge(recorder.file)
    report(judged)
    assert {queue: found for queue, found in judged.violations.items() if found} == {}
    assert disappointing(judged.calls) == []
    published = Counter(call.queue for call in judged.calls if call.kind == "publish" and call.outcome is Outcome.OK)
    assert min(published.values()) > 30, "the load was to be steady"


def lose_and_bring_back_a_cassandra_node(recorder: Recorder) -> None:
    """Kill the third node, start it again, and wait until it is whole."""
    cluster = shared_cluster(3)
    began_s = recorder.now_s()
    cluster.nodes[2].send(signal.SIGKILL)
    assert cluster.nodes[2].wait_until_gone(patience_seconds=10)
    time.sleep(DOWN_S)
    cluster.restart_node(3)
    recorder.add(Inflicted("kill", "cassandra3", began_s, recorder.now_s()))


def replace_a_storage_node(service: SeveralNodes, recorder: Recorder) -> None:
    """Kill the one that the queue with the strongest guarantee is at; add the one that never ran."""
    began_s = recorder.now_s()
    at = service.best("careful", "once", (0, 1))
    service.nodes[at].kill()
    time.sleep(STEADY_S)
    service.nodes[2].start()
    wait_until(lambda: service.starts(2), within_s=60, what="added node")
    recorder.add(Inflicted("kill", f"node{at}", began_s, recorder.now_s()))


def disappointing(calls: list[Call]) -> list[Call]:
    """Return the calls that came late, or failed otherwise than with an answer that tells to try again."""
    late = [call for call in calls if call.ended_s - call.began_s > ANSWERED_S_MAX]
    failed = [call for call in calls if call.outcome is not Outcome.OK]
    return late + [
        call for call in failed if call.status != 503 or call.answer.get("retry") not in ("later", "unknown_outcome")
    ]


def report(judged: Judged) -> None:
    """Print what was seen, for who runs this by hand."""
    failed = Counter(f"{call.kind}: {call.code}" for call in judged.calls if call.outcome is not Outcome.OK)
    longest = max(judged.calls, key=lambda call: call.ended_s - call.began_s)
    faults = {fault.target: round(fault.ended_s - fault.began_s, 1) for fault in judged.faults}
    print(
        json.dumps(
            {
                "calls": len(judged.calls),
                "acknowledged": {
                    path: sum(one.outcome is Outcome.OK for one in history.published)
                    for path, history in judged.histories.items()
                },
                "failed": dict(failed),
                "longest": [longest.kind, round(longest.ended_s - longest.began_s, 2)],
                "faults": faults,
            }
        )
    )
