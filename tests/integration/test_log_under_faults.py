"""Two nodes serve one partition of a store that fails, dawdles and lands writes late: what was promised must hold."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from common.identifiers import HIGHEST, LOWEST, MessageId
from common.limits import LATE_WINDOW_MS
from common.protocol.failures import Code, FailureError
from common.protocol.operations import NewMessage, Stored
from storage_node.log import buckets
from storage_node.log.clockcheck import HostTime
from storage_node.store.errors import StoreError
from storage_node.store.interface import Lane, LogAddress, QueueRow
from tests.support.faulty_store import Fault, FaultPlan, FaultyStore, faulty
from tests.support.log_node import LogNode
from tests.support.stores import MemoryCluster
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually

FAULTS = {
    Fault.NONE: 0.78,
    Fault.SLOW: 0.1,
    Fault.FAILED: 0.03,
    Fault.LOST_REQUEST: 0.03,
    Fault.LOST_ANSWER: 0.03,
    Fault.LATE: 0.03,
}
DELAY_S_MAX = 4.0
SKEW_MS = LATE_WINDOW_MS // 5
MESSAGES = 120
TRIES_MAX = 6
ATTEMPTS_S_MAX = 10.0
"""Seconds after which a front end begins no further attempt."""


class TrueTime:
    """Host clocks that are right, and near."""

    def __init__(self, node: LoopClock, loop: VirtualLoop) -> None:
        self._node = node
        self._true = LoopClock(loop)

    async def read_clocks(self) -> Sequence[HostTime]:
        now = self._node.now_ticks()
        return [HostTime(now, self._true.now_ticks(), now)]


class World:
    """Two skewed nodes on one cluster, and a follower who may ask either of them."""

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self.rng = random.Random(seed)
        self.cluster = MemoryCluster(LoopClock(loop))
        self.plans = [FaultPlan(seed * 2 + number, FAULTS, delay_s_max=DELAY_S_MAX) for number in range(2)]
        self.walls: list[FaultyStore] = []
        self.nodes: list[LogNode] = []
        for number, plan in enumerate(self.plans):
            store, wall = faulty(self.cluster, plan)
            clock = LoopClock(loop, offset_ms=SKEW_MS * (1 - 2 * number))
            node = LogNode(store, clock=clock, seed=seed * 2 + number, host_clocks=TrueTime(clock, loop))
            self.walls.append(wall)
            self.nodes.append(node)
        self.acked: dict[bytes, MessageId] = {}
        self.seen: set[bytes] = set()
        self.broken: list[str] = []
        self.promised = LOWEST

    def node(self) -> LogNode:
        return self.rng.choice(self.nodes)

    async def publisher(self, queue: QueueRow, number: int, *, retries: bool) -> None:
        await asyncio.sleep(self.rng.uniform(0, 60))
        body = b"%d" % number
        delay_ms = self.rng.choice((None, None, None, 1, 800, 6_000))
        end_s = self.nodes[0].clock.monotonic_s() + ATTEMPTS_S_MAX
        for _ in range(TRIES_MAX if retries else 1):
            if self.nodes[0].clock.monotonic_s() > end_s:
                return
            message = NewMessage(body=body, delay_ms=delay_ms)
            try:
                published = await self.node().publish(queue, message, partition=1, attempt=f"attempt-{number}")
            except (FailureError, StoreError):
                continue
            result = published.results[0]
            if result.failure is None:
                self._acknowledged(body, result)
                return
            if result.failure.code is not Code.OUTCOME_UNKNOWN:
                await asyncio.sleep(self.rng.uniform(0, 2))

    def _acknowledged(self, body: bytes, result: Stored) -> None:
        self.acked[body] = MessageId(result.message_id)
        if result.message_id <= self.promised and body not in self.seen:
            self.broken.append(f"{body!r} was acknowledged at or below a complete_until given before")

    async def follow(self, queue: QueueRow, done: asyncio.Event) -> None:
        cursor, last_round = None, False
        while True:
            try:
                page = await self.node().read(queue, cursor=cursor, limit=self.rng.choice((3, 100)), wait_ms=500)
            except (FailureError, StoreError):
                await asyncio.sleep(0.2)
                continue
            self.seen |= {message.body for message in page.messages}
            cursor = page.next
            self._promise(MessageId(page.complete_until[1]))
            if not page.messages and last_round:
                return
            last_round = done.is_set()
            await asyncio.sleep(self.rng.uniform(0, 1))

    def _promise(self, complete_until: MessageId) -> None:
        self.promised = max(self.promised, complete_until)
        for body, message_id in self.acked.items():
            if message_id <= complete_until and body not in self.seen:
                self.broken.append(f"complete_until passed {body!r}, which the follower has not seen")

    async def run(self, application: str, *, retries: bool) -> QueueRow:
        queue = await LogNode(self.cluster, clock=self.nodes[0].clock).queue(application=application)
        for node in self.nodes:
            node.logs.start()
        done = asyncio.Event()
        follower = asyncio.create_task(self.follow(queue, done))
        await asyncio.gather(*[self.publisher(queue, number, retries=retries) for number in range(MESSAGES)])
        for plan in self.plans:
            plan.heal()
        for wall in self.walls:
            await wall.settle()
        await asyncio.sleep(3 * LATE_WINDOW_MS / 1000)
        done.set()
        await follower
        for node in self.nodes:
            await node.logs.close()
        return queue

    async def stored(self, queue: QueueRow) -> Counter[bytes]:
        found: Counter[bytes] = Counter()
        for lane in Lane:
            log = LogAddress(queue.queue_id, 1, lane, queue.lifetime)
            for row in await self.cluster.list_buckets(log):
                rows = await self.cluster.list_messages(
                    log, row.bucket, low=LOWEST, high=HIGHEST, limit=10_000, now_ticks=0
                )
                found.update([message.body for message in rows])
        return found


def play(seed: int, application: str, *, retries: bool) -> tuple[World, Counter[bytes]]:
    loop = VirtualLoop()
    world = World(loop, seed)

    async def run() -> Counter[bytes]:
        return await world.stored(await world.run(application, retries=retries))

    stored = run_virtually(loop, run())
    return world, stored


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("application", ["notes", "most", "fenced", "once"])
def test_a_follower_misses_no_acknowledged_message(
    seed: int, application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the log, whichever node answers: ``complete_until`` keeps its word, and a resume skips nothing."""
    monkeypatch.setattr(buckets, "BUCKET_MESSAGES_MAX", 15)
    world, stored = play(seed, application, retries=application != "most")
    assert world.broken == []
    assert set(world.acked) <= world.seen, f"seed {seed}"
    assert set(world.acked) <= set(stored)
    assert len(world.acked) > MESSAGES // 2


@pytest.mark.parametrize("seed", range(20, 26))
def test_under_exactly_once_every_attempt_is_stored_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts under one key, on either node, across rolls of the bucket."""
    monkeypatch.setattr(buckets, "BUCKET_MESSAGES_MAX", 15)
    world, stored = play(seed, "once", retries=True)
    assert world.broken == []
    assert {body: count for body, count in stored.items() if count > 1} == {}
