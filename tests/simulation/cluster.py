"""The simulated store: what Cassandra promises and no more.

A write is answered; or lost; or done with its answer lost; or reported unknown and done later, its condition judged
then.  A listing is no snapshot: what lands while it is read may be in it or not.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, cast

from storage_node.store.errors import StoreFailedError, StoreUnknownError
from storage_node.store.interface import HostTime, LogAddress, Store, StoredMessage
from tests.simulation.loops import MachineClock, MachineLoop, World, new_machine
from tests.support.faulty_store import READS, WRITES
from tests.support.stores import MemoryCluster

TIME_OUT_S = 0.8
LATE_S = (0.6, 2.0, 6.0, 20.0)
PAUSED_BEFORE = frozenset({"append_plain", "append_fenced", "confirm_keys"})


class Cluster:
    """What is stored, and how hostile the way to it is."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world = world
        self.rng = rng
        self.clock = MachineClock(world)
        self.loop = new_machine(world)
        self.kept = MemoryCluster(self.clock)
        self.hostility = 0.0
        """The share of calls that meet a fault."""
        self.append_pauses = 0.0
        """Share of appends before which the node is paused."""
        self.writes: dict[str, int] = {}
        self.unconditional = False
        """Ablation: delivery rows are written whatever stands there."""

    def at(self, delay_s: float, call: Callable[[], object]) -> None:
        self.loop.call_later(delay_s, call)

    def handle(self, node: MachineLoop, clock: MachineClock) -> Store:
        """Return the store as a node sees it."""
        return cast("Store", _Handle(self, node, clock))

    def do(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        """Apply a call at this instant."""
        if name == "swap_delivery" and self.unconditional:
            kwargs = dict(kwargs)
            standing = run_now(self.kept.read_delivery(*args))
            kwargs["expected"] = None if standing is None else standing.version
        self.writes[name] = self.writes.get(name, 0) + (name in WRITES)
        return run_now(getattr(self.kept, name)(*args, **kwargs))

    def do_unseen(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Apply a call of which nobody hears any more; what it is about may be gone."""
        with suppress(StoreFailedError):
            self.do(name, args, kwargs)


class _Handle:
    def __init__(self, cluster: Cluster, node: MachineLoop, clock: MachineClock) -> None:
        self._cluster = cluster
        self._node = node
        self._clock = clock
        self.capabilities = MemoryCluster.capabilities

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        if name not in WRITES | READS:
            raise AttributeError(name)

        async def call(*args: Any, **kwargs: Any) -> object:
            if name in PAUSED_BEFORE and self._cluster.rng.random() < self._cluster.append_pauses:
                self._node.paused_until_s = self._node.time() + self._cluster.rng.uniform(0, 10)
                await self._wait(0)
            if name == "list_messages":
                return await self._list(args, kwargs)
            return await self._meet(name, args, kwargs)

        return call

    async def close(self) -> None:
        """There is nothing to let go of."""

    async def read_clocks(self) -> Sequence[HostTime]:
        sent = self._clock.now_ticks()
        await self._wait(self._latency())
        host = self._cluster.clock.now_ticks()
        await self._wait(self._latency())
        return [HostTime(sent, host, self._clock.now_ticks())]

    def _latency(self) -> float:
        return min(self._cluster.rng.expovariate(80), 0.2)

    async def _wait(self, delay_s: float) -> None:
        """Wait for the store: its answer comes whether this node is paused or not."""
        future: asyncio.Future[None] = self._node.create_future()
        self._cluster.at(delay_s, lambda: None if future.done() else future.set_result(None))
        await future

    async def _meet(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        cluster, rng = self._cluster, self._cluster.rng
        future: asyncio.Future[object] = self._node.create_future()

        def answer() -> None:
            try:
                result = cluster.do(name, args, kwargs)
            except StoreFailedError as error:
                cluster.at(self._latency(), partial(give_up, error))
            else:
                cluster.at(self._latency(), lambda: None if future.done() else future.set_result(result))

        def give_up(error: Exception) -> None:
            if not future.done():
                future.set_exception(error)

        drawn = rng.random()
        hostility = cluster.hostility
        if drawn >= hostility:
            cluster.at(self._latency(), answer)
        elif name in READS:
            if drawn < hostility / 2:
                cluster.at(TIME_OUT_S, lambda: give_up(StoreFailedError("planned")))
            else:
                cluster.at(rng.uniform(0.2, 3.0), answer)
        else:
            fate = rng.randrange(5)
            if fate == 0:
                cluster.at(0.05, lambda: give_up(StoreFailedError("planned")))
            elif fate == 4:
                cluster.at(rng.uniform(0.3, 8.0), answer)
            else:
                cluster.at(TIME_OUT_S, lambda: give_up(StoreUnknownError("planned")))
            if fate == 2:
                cluster.at(self._latency(), lambda: cluster.do_unseen(name, args, kwargs))
            elif fate == 3:
                late_s = rng.uniform(0, rng.choice(LATE_S)) + TIME_OUT_S
                cluster.at(late_s, lambda: cluster.do_unseen(name, args, kwargs))
        return await future

    async def _list(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[StoredMessage]:
        """Read a slice that is no snapshot: what lands meanwhile may be seen or not."""
        before = cast("list[StoredMessage]", await self._meet("list_messages", args, kwargs))
        await self._wait(self._latency())
        after = cast("list[StoredMessage]", self._cluster.do("list_messages", args, kwargs))
        known = {message.message_id for message in before}
        return [m for m in after if m.message_id in known or self._cluster.rng.random() < 0.5]


def run_now(coro: Any) -> Any:
    """Run a coroutine that waits for nothing."""
    try:
        coro.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waited")


def bodies_stored(cluster: Cluster, logs: Sequence[LogAddress]) -> dict[bytes, list[tuple[int, bytes]]]:
    """Return what is stored, by body: (partition, id) of each copy."""
    found: dict[bytes, list[tuple[int, bytes]]] = {}
    for log in logs:
        for bucket in run_now(cluster.kept.list_buckets(log)):
            kept = cluster.kept._bucket(log, bucket.bucket)
            for message in kept.messages.values() if kept is not None else ():
                found.setdefault(message.body, []).append((log.partition, message.message_id))
    return found


def sources_of(cluster: Cluster, logs: Sequence[LogAddress]) -> list[tuple[str, bytes]]:
    """Return where each dead letter comes from: (id at the source, body)."""
    found: list[tuple[str, bytes]] = []
    for log in logs:
        for bucket in run_now(cluster.kept.list_buckets(log)):
            kept = cluster.kept._bucket(log, bucket.bucket)
            messages = kept.messages.values() if kept is not None else ()
            found += [(message.attributes.get("source_id", ""), message.body) for message in messages]
    return found
