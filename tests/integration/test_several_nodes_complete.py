"""Two storage nodes that append to the same partitions at once, as far apart as the rules allow.

Readers follow by ``complete_until``: nothing acknowledged may appear behind them.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from common.identifiers import LOWEST, TICKS_PER_SECOND, UUID_EPOCH_TICKS, MessageId, ticks_of
from common.protocol.failures import FailureError
from common.protocol.operations import (
    Caller,
    CreateQueue,
    MessagesRead,
    NewMessage,
    Publish,
    Published,
    QueueInfo,
    QueueSettings,
    Read,
)
from tests.support.cassandra_store import store_lines
from tests.support.checkers import Followed
from tests.support.direct_node import DirectNode
from tests.support.hostile_node import HOSTILE
from tests.support.service import wait_until
from tests.support.several_nodes import SeveralNodes

pytestmark = [pytest.mark.cassandra, pytest.mark.timeout(600)]

SKEW_MS: Final = 500
"""Each clock is off by this, in opposite directions: within D/4 together, or the node behind may stamp nothing in a
fenced log.
"""
LATE_MS: Final = 2_800
"""A late write is up to this late, and half of it: beyond D/2, so that some prove late."""
BROKEN_WINDOW_MS: Final = 1_500
SLOW, QUICK, LIAR = 0, 1, 2
PARTITIONS: Final = 4
PUBLISH_S: Final = 9.0
JUDGED_S_MAX: Final = 60.0
PAGE: Final = 1_000


@dataclass
class Seen:
    """What all clients of one queue saw."""

    acknowledged: dict[int, list[bytes]] = field(default_factory=lambda: {n: [] for n in range(1, PARTITIONS + 1)})
    followed: dict[tuple[int, int], Followed] = field(default_factory=dict)
    """By node and partition."""
    lags_s: list[float] = field(default_factory=list)
    """How far behind the true time ids were when they were acknowledged."""

    def skipped(self, node: int) -> list[bytes]:
        """Return what was acknowledged, and promised to a reader at this node to be there, and not there."""
        return [
            message_id
            for partition, ids in self.acknowledged.items()
            for message_id in ids
            if message_id <= self.followed[node, partition].complete_until
            and message_id not in self.followed[node, partition].seen
        ]

    def is_judged(self) -> bool:
        """Say whether every acknowledged message is below what every reader was promised."""
        return all(
            max(self.acknowledged[partition], default=LOWEST) <= followed.complete_until
            for (_, partition), followed in self.followed.items()
        )


@pytest.fixture
def service(tmp_path: Path) -> Iterator[SeveralNodes]:
    """A slow node behind the true time, a quick one ahead of it, and one more that promises more than the rule."""
    quick = {"skew_ms": SKEW_MS}
    ways = {
        SLOW: {"skew_ms": -SKEW_MS, "late_ms": LATE_MS},
        QUICK: quick,
        LIAR: {**quick, "window_ms": BROKEN_WINDOW_MS},
    }
    programs = {
        number: ("env", f"{HOSTILE}={json.dumps(way)}", sys.executable, "-m", "tests.support.hostile_node")
        for number, way in ways.items()
    }
    lines = store_lines(1, keyspace=f"complete_{os.urandom(4).hex()}")
    made = SeveralNodes(tmp_path, nodes=len(ways), store=lines, programs=programs)
    try:
        for number, node in enumerate(made.nodes):
            node.start()
            wait_until(lambda number=number: made.starts(number), within_s=90, what=f"node {number}")  # type: ignore[misc]
        yield made
    finally:
        made.stop()


class Run:
    """Publishers at the slow and the quick node, readers at some nodes, on one queue."""

    def __init__(self, service: SeveralNodes, application: str, *, readers: tuple[int, ...]) -> None:
        self.seen = Seen()
        self._service = service
        caller = Caller(principals=(f"app:{application}",))
        self._names = {"application": application, "queue": "shared", "caller": caller}
        self._publishing, self._reading = threading.Event(), threading.Event()
        self._publishers = self._threads(self._publish, (SLOW, QUICK))
        self._readers = self._threads(self._follow, readers)

    def start(self) -> None:
        """Make the queue and begin."""
        with DirectNode(self._service.endpoint(QUICK)) as node:
            settings = QueueSettings(partitions=PARTITIONS)
            node.call(CreateQueue(settings=settings, **self._names), QueueInfo)  # type: ignore[arg-type]
        for thread in self._publishers + self._readers:
            thread.start()

    def finish(self) -> Seen:
        """Publish no more, and follow until every message is below what was promised."""
        self._publishing.set()
        for thread in self._publishers:
            thread.join()
        try:
            wait_until(self.seen.is_judged, within_s=JUDGED_S_MAX, what="promise for all of it")
        finally:
            self._reading.set()
            for thread in self._readers:
                thread.join()
        return self.seen

    def _threads(self, work: Callable[[int, int], None], nodes: tuple[int, ...]) -> list[threading.Thread]:
        places = [(node, partition) for node in nodes for partition in range(1, PARTITIONS + 1)]
        return [threading.Thread(target=work, args=place) for place in places]

    def _publish(self, at: int, partition: int) -> None:
        with DirectNode(self._service.endpoint(at)) as node:
            count = 0
            while not self._publishing.wait(0.1):
                count += 1
                message = NewMessage(body=b"%d" % count, partition=partition)
                key = f"{at}/{partition}/{count}"
                publish = Publish(messages=(message,), partition=0, attempt_key=key, **self._names)  # type: ignore[arg-type]
                try:
                    (stored,) = node.call(publish, Published).results
                except FailureError:
                    continue
                if stored.failure is None:
                    self.seen.acknowledged[partition].append(stored.message_id)
                    self.seen.lags_s.append(seconds_behind(stored.message_id))

    def _follow(self, at: int, partition: int) -> None:
        followed = self.seen.followed[at, partition] = Followed(partition, complete_until=LOWEST)
        after = LOWEST
        with DirectNode(self._service.endpoint(at)) as node:
            while not self._reading.wait(0.1):
                read = Read(partitions=(partition,), after=after, limit=PAGE, **self._names)  # type: ignore[arg-type]
                try:
                    page = node.call(read, MessagesRead)
                except FailureError:
                    continue
                assert len(page.messages) < PAGE
                followed.seen.update(message.message_id for message in page.messages)
                after = max(after, MessageId(page.complete_until[partition]))
                followed.complete_until = after


def seconds_behind(message_id: bytes) -> float:
    """Return how old an id is by the machine's clock."""
    return time.time() - (ticks_of(message_id) - UUID_EPOCH_TICKS) / TICKS_PER_SECOND


def test_a_reader_that_rereads_from_complete_until_misses_nothing(service: SeveralNodes) -> None:
    """A plain and a fenced log; acknowledged ids of the plain one lay seconds behind others that were read before.

    A node that counts too little as undecided is found out by the same readers, so they can tell.
    """
    plain = Run(service, "queuey", readers=(QUICK, LIAR))
    fenced = Run(service, "careful", readers=(QUICK,))
    for run in (plain, fenced):
        run.start()
    time.sleep(PUBLISH_S)
    for run in (plain, fenced):
        seen = run.finish()
        counts = [len(ids) for ids in seen.acknowledged.values()]
        assert min(counts) > 0
        print(f"{counts} acknowledged, up to {max(seen.lags_s):.2f} s behind; skipped {len(seen.skipped(QUICK))}")
        assert seen.skipped(QUICK) == []
    print(f"where the rule was broken {len(plain.seen.skipped(LIAR))} were skipped")
    assert max(plain.seen.lags_s) > (SKEW_MS + LATE_MS / 2) / 1000, "late writes were to be forced"
    assert plain.seen.skipped(LIAR)
