"""A call that acks and claims says of each half what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import cast

import pytest

from common.protocol import operations as ops
from common.protocol.failures import Code, FailureError
from storage_node.store.errors import StoreFailedError
from storage_node.store.interface import Store
from tests.support.delivery_node import DeliveryNode, bodies_of, receipts_of
from tests.support.stores import MemoryCluster
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually

WAIT_MS = 30_000
APPLICATIONS = pytest.mark.parametrize("application", ["notes", "once"])


class Refusing:
    """Stands before a store and refuses conditional writes while it is told to."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.refuses = False
        self.capabilities = store.capabilities

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        call = cast("Callable[..., Awaitable[object]]", getattr(self._store, name))

        async def perhaps_refused(*args: object, **kwargs: object) -> object:
            if name == "swap_delivery" and self.refuses:
                raise StoreFailedError("planned")
            return await call(*args, **kwargs)

        return perhaps_refused


def run(scenario: Callable[[DeliveryNode, Refusing], Coroutine[None, None, None]]) -> None:
    """Run it with a node on a store that may refuse."""
    loop = VirtualLoop()

    async def main() -> None:
        store = Refusing(cast("Store", MemoryCluster(LoopClock(loop))))
        node = DeliveryNode(cast("Store", store), clock=LoopClock(loop))
        await scenario(node, store)
        await node.close()

    run_virtually(loop, main())


@APPLICATIONS
def test_an_ack_that_counted_is_told_though_the_claim_was_refused(application: str) -> None:
    """Too many are in flight for the claim; said of the whole call it would mean that nothing was done."""

    async def scenario(node: DeliveryNode, _: Refusing) -> None:
        queue = await node.queue(application=application, settings=ops.QueueSettings(max_in_flight=2))
        await node.publish(queue, b"one", b"two", b"three", b"four")
        await asyncio.sleep(20)
        first, _second = receipts_of(await node.claim(queue, limit=2))
        assert await node.ack(queue, first) == ["acked"]
        assert bodies_of(await node.claim(queue, limit=2)) == [b"three"]
        again = await node.claim(queue, limit=2, ack=[first])
        assert [one.outcome for one in again.acked] == ["acked"]
        assert not again.claims
        with pytest.raises(FailureError) as caught:
            await node.claim(queue, limit=2)
        assert caught.value.failure.code is Code.TOO_MANY_IN_FLIGHT

    run(scenario)


@APPLICATIONS
def test_a_claim_beside_an_ack_that_failed_takes_nothing(application: str) -> None:
    """It would wait on, in another partition, and lease for nobody."""

    async def scenario(node: DeliveryNode, store: Refusing) -> None:
        queue = await node.queue(application=application, settings=ops.QueueSettings(partitions=2))
        await node.publish(queue, b"one", partition=1)
        await asyncio.sleep(1)
        (receipt,) = receipts_of(await node.claim(queue, lease_ms=600_000))
        store.refuses = True
        with pytest.raises(StoreFailedError):
            await node.claim(queue, wait_ms=WAIT_MS, ack=[receipt], partitions=[2])
        store.refuses = False
        await node.publish(queue, b"two", partition=2)
        await asyncio.sleep(1)
        taken = await node.claim(queue, partitions=[2])
        assert bodies_of(taken) == [b"two"]

    run(scenario)
