"""A clock that is set forward under way: the node that made a lease does not end it early by its new time."""

from __future__ import annotations

import asyncio

import pytest

from storage_node.store.interface import QueueRow
from tests.support.delivery_node import DeliveryNode, bodies_of, receipts_of
from tests.support.stores import MemoryCluster
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually

LEASE_MS = 6_000
STEP_MS = 2_000


@pytest.mark.parametrize("application", ["once", "notes"])
def test_a_lease_lasts_as_long_as_was_asked_though_the_clock_was_set_forward(application: str) -> None:
    """Made by a clock that was 2 s behind, which is then set right: nobody else gets the message within 6 s."""
    loop = VirtualLoop()
    clock = LoopClock(loop)

    async def main() -> None:
        node = DeliveryNode(MemoryCluster(clock), clock=clock)
        queue: QueueRow = await node.queue(application=application)
        await node.publish(queue, b"one")
        await asyncio.sleep(STEP_MS / 1000)
        clock.offset_ms = -STEP_MS
        claims = await node.claim(queue, lease_ms=LEASE_MS)
        assert bodies_of(claims) == [b"one"]
        clock.offset_ms = 0
        await asyncio.sleep((LEASE_MS - 200) / 1000)
        assert bodies_of(await node.claim(queue)) == []
        await asyncio.sleep(STEP_MS / 1000)
        again = await node.claim(queue)
        assert bodies_of(again) == [b"one"]
        assert await node.ack(queue, *receipts_of(again)) == ["acked"]
        await node.close()

    run_virtually(loop, main())
