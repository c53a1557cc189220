"""What a claim answers where the store fails it half-way: never "nothing was done" when something may have been."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from common.protocol.failures import Code, FailureError
from common.protocol.operations import QueueSettings
from storage_node.store.errors import StoreError, StoreFailedError, StoreUnknownError
from storage_node.store.interface import Store
from tests.support.delivery_node import DeliveryNode, bodies_of
from tests.support.stores import MemoryCluster
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually

MESSAGE_READS = frozenset({"list_messages", "read_messages"})


class Breaking:
    """Fails the numbered write of a delivery row, and from then on what ``then`` names."""

    def __init__(self, store: Store, *, at: int, error: StoreError, then: frozenset[str] = frozenset()) -> None:
        self._store = store
        self._left = at
        self._error = error
        self._then = then
        self._broken: frozenset[str] = frozenset()
        self.capabilities = store.capabilities

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        call = cast("Callable[..., Awaitable[object]]", getattr(self._store, name))

        async def broken_call(*args: object, **kwargs: object) -> object:
            if name in self._broken:
                raise StoreFailedError("planned")
            self._left -= name == "swap_delivery"
            if name == "swap_delivery" and self._left == 0:
                self._broken = self._then
                raise self._error
            return await call(*args, **kwargs)

        return broken_call


def play(scene: Callable[[DeliveryNode], Awaitable[None]], breaking: Callable[[Store], object]) -> None:
    """Play a scene on a store that breaks, in virtual time."""
    loop = VirtualLoop()
    clock = LoopClock(loop)

    async def main() -> None:
        node = DeliveryNode(cast("Store", breaking(MemoryCluster(clock))), clock=clock)
        await scene(node)
        await node.close()

    run_virtually(loop, main())


@pytest.mark.parametrize("application", ["once", "most"])
def test_a_failure_after_an_unknown_write_does_not_say_that_nothing_was_done(application: str) -> None:
    """The write of the row may still land: the client hears ``outcome_unknown``, whatever failed next."""

    async def scene(node: DeliveryNode) -> None:
        queue = await node.queue(application=application)
        await node.publish(queue, b"one")
        with pytest.raises(FailureError) as caught:
            await node.claim(queue)
        assert caught.value.failure.code is Code.OUTCOME_UNKNOWN

    play(scene, lambda store: Breaking(store, at=1, error=StoreUnknownError("planned"), then=MESSAGE_READS))


@pytest.mark.parametrize("application", ["once", "most"])
def test_what_one_partition_gave_reaches_the_client_when_another_fails(application: str) -> None:
    """The messages are taken already: an error instead of them would lose them, or hide them for a lease."""

    async def scene(node: DeliveryNode) -> None:
        queue = await node.queue(application=application, settings=QueueSettings(partitions=2))
        await node.publish(queue, b"one", partition=1)
        await node.publish(queue, b"two", partition=2)
        assert len(bodies_of(await node.claim(queue))) == 1
        assert len(bodies_of(await node.claim(queue))) == 1

    play(scene, lambda store: Breaking(store, at=2, error=StoreFailedError("planned")))


def test_a_claim_that_may_have_lost_messages_says_so() -> None:
    """Under at_most_once an unknown outcome in one partition is the outcome of the claim."""

    async def scene(node: DeliveryNode) -> None:
        queue = await node.queue(application="most", settings=QueueSettings(partitions=2))
        await node.publish(queue, b"one", partition=1)
        await node.publish(queue, b"two", partition=2)
        with pytest.raises(FailureError) as caught:
            await node.claim(queue)
        assert caught.value.failure.code is Code.OUTCOME_UNKNOWN

    play(scene, lambda store: Breaking(store, at=2, error=StoreUnknownError("planned"), then=MESSAGE_READS))


class Overtaken:
    """The first write of a delivery row is done, another node writes on top of it, and then nobody knows."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.overtake: Callable[[], Awaitable[object]] | None = None
        self.capabilities = store.capabilities

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        call = cast("Callable[..., Awaitable[object]]", getattr(self._store, name))

        async def overtaken(*args: object, **kwargs: object) -> object:
            answer = await call(*args, **kwargs)
            if name == "swap_delivery" and self.overtake is not None:
                overtake, self.overtake = self.overtake, None
                await overtake()
                raise StoreUnknownError("planned")
            return answer

        return overtaken


def test_what_an_unknown_write_may_have_settled_is_not_hidden_by_other_messages() -> None:
    """Under at_most_once the claim says ``outcome_unknown``: what it took is lost, and so is known to be."""
    loop = VirtualLoop()
    clock = LoopClock(loop)

    async def main() -> None:
        cluster = MemoryCluster(clock)
        store = Overtaken(cast("Store", cluster))
        node, other = DeliveryNode(cast("Store", store), clock=clock), DeliveryNode(cluster, clock=clock, seed=2)
        queue = await node.queue(application="most")
        await node.publish(queue, b"one", b"two", b"three")
        await asyncio.sleep(1)
        store.overtake = lambda: other.claim(queue, limit=1)
        with pytest.raises(FailureError) as caught:
            await node.claim(queue, limit=1)
        assert caught.value.failure.code is Code.OUTCOME_UNKNOWN
        assert bodies_of(await node.claim(queue, limit=2)) == [b"three"]
        await node.close()
        await other.close()

    run_virtually(loop, main())
