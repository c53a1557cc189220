"""One seed: build the world, let it happen, judge the history."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from common.identifiers import TICKS_PER_SECOND
from storage_node.delivery import row
from storage_node.log import buckets, fenced
from storage_node.store.interface import Lane, LogAddress, QueueRow
from tests.simulation.clients import GIVE_UP_S, Clients
from tests.simulation.cluster import Cluster, bodies_stored, run_now, sources_of
from tests.simulation.loops import World, new_machine
from tests.simulation.nodes import Network, SimulatedNode
from tests.simulation.scenario import APPLICATION, HOSTILE_S, QUEUE, SKEW_S_MAX, Scenario, draw
from tests.support.checkers import History, check
from tests.support.upheavals import check_upheavals

ERASE_S = 3.0
BUCKET_MESSAGES = 3
BUCKET_SPAN_S = 12


class Run:
    """A world with one cluster, its nodes, a network and clients."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.rng = random.Random(scenario.seed)
        self.world = World()
        self.cluster = Cluster(self.world, self.rng)
        self.nodes = [
            SimulatedNode(
                f"n{number}",
                self.cluster,
                skew_s=self.rng.choice((-1, 1)) * self.rng.uniform(0.3, 1) * SKEW_S_MAX,
                applications=scenario.applications,
            )
            for number in range(scenario.nodes)
        ]
        self.network = Network(self.cluster, self.nodes)
        self.client_loop = new_machine(self.world)
        self.clients = Clients(scenario, self.world, self.network, self.rng)

    def run(self) -> list[str]:
        """Let it happen; return the violations."""
        self._set_hostility(self.scenario.rough)
        main = self.client_loop.spawn(self.clients.run())
        main.add_done_callback(lambda _: setattr(self.world, "stopped", True))
        if self.scenario.calm:
            self.cluster.loop.call_later(self.rng.uniform(5, HOSTILE_S), self._retire)
        else:
            self.cluster.loop.call_later(1.0, self._harm)
        if self.scenario.ttl or self.scenario.recreate:
            self.cluster.loop.call_later(ERASE_S, self._erase)
        self.cluster.loop.call_at(HOSTILE_S, self._heal)
        self.world.run(GIVE_UP_S + 60)
        found = [*self.world.errors]
        if not main.done():
            found.append("it never ends")
        elif main.exception() is not None:
            found.append(f"a client failed: {main.exception()!r}")
        history = self._history()
        found += [*check(history), *check_upheavals(history)]
        self._close()
        return found

    def _history(self) -> History:
        history = self.clients.history
        queue = run_now(self.cluster.kept.read_queue(APPLICATION, QUEUE))
        dead = run_now(self.cluster.kept.read_queue(APPLICATION, "dead"))
        if queue is not None:
            history.stored = bodies_stored(self.cluster, _logs(queue))
        if dead is not None:
            history.buried = set(bodies_stored(self.cluster, _logs(dead)))
            history.dead_letters = sources_of(self.cluster, _logs(dead))
        return history

    def _set_hostility(self, rough: float) -> None:
        self.cluster.hostility = 0.06 * rough
        self.network.hostility = 0.08 * rough
        self.cluster.append_pauses = 0.15 if rough and self.scenario.publish_hard else 0.0
        for node in self.nodes:
            node.step_pauses = self.scenario.step_pauses if rough else 0.0

    def _harm(self) -> None:
        if self.world.now_s >= HOSTILE_S:
            return
        node, drawn = self.rng.choice(self.nodes), self.rng.random()
        if node.sheltered:
            drawn = 1.0
        if drawn < 0.85 and self.rng.random() < self.scenario.drains and node.up and not node.draining:
            node.drain(lambda: self._restart(node))
        elif drawn < 0.6:
            node.pause(self.rng.choice((self.rng.uniform(0, 1), self.rng.uniform(0, 15))))
        elif drawn < 0.85 and node.up:
            self._restart(node)
        self.cluster.loop.call_later(self.rng.expovariate(0.15 * self.scenario.rough) + 0.1, self._harm)

    def _restart(self, node: SimulatedNode) -> None:
        if node.sheltered:
            self.cluster.loop.call_later(1.0, self._restart, node)
        elif node.up:
            node.crash()
            self.cluster.loop.call_later(self.rng.uniform(0.1, 4), node.start)

    def _retire(self) -> None:
        node = max(self.nodes, key=lambda node: len(node.delivery.rows._rows))  # the one that serves the queue
        began_s = self.world.now_s

        def ended() -> None:
            self.clients.history.retired_s = (began_s, self.world.now_s)
            node.crash()

        node.drain(ended)

    def _erase(self) -> None:
        run_now(self.cluster.kept.erase_step(now_ticks=self.cluster.clock.now_ticks()))
        self.cluster.loop.call_later(ERASE_S, self._erase)

    def _heal(self) -> None:
        self._set_hostility(0)
        for node in self.nodes:
            node.loop.paused_until_s = 0.0

    def _close(self) -> None:
        loops = [self.client_loop, self.network.loop, self.cluster.loop]
        loops += [loop for node in self.nodes for loop in (*node.crashed, node.loop)]
        for loop in loops:
            loop.crash()
        for loop in loops:
            loop.bury()


def _logs(queue: QueueRow) -> list[LogAddress]:
    return [
        LogAddress(queue.queue_id, partition, lane, queue.lifetime)
        for partition in range(1, queue.partitions + 1)
        for lane in Lane
    ]


def run_seed(
    seed: int,
    *,
    change: Callable[[Scenario], Scenario] = lambda scenario: scenario,
    ablation: Callable[[Run], AbstractContextManager[object]] = lambda _: nullcontext(),
) -> list[str]:
    """Run one seed and return what was violated."""
    run = Run(change(draw(seed)))
    with small_runs(seed), small_buckets(run.scenario), ablation(run):
        return run.run()


@contextmanager
def small_runs(seed: int) -> Iterator[None]:
    """Let every second seed keep settled ids as runs from the first two on."""
    before, row.GATHER_FROM = row.GATHER_FROM, 2 if seed % 2 else row.GATHER_FROM
    try:
        yield
    finally:
        row.GATHER_FROM = before


@contextmanager
def small_buckets(scenario: Scenario) -> Iterator[None]:
    """Let buckets be full after a few messages, and old after some seconds."""
    span = BUCKET_SPAN_S * TICKS_PER_SECOND
    small = [
        (buckets, "SPAN_TICKS", span),
        (fenced, "SPAN_TICKS", span),
        (buckets, "BUCKET_MESSAGES_MAX", BUCKET_MESSAGES),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in small]
    try:
        for owner, name, value in small if scenario.rolls else ():
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)
