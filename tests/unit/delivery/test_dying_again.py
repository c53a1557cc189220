"""A message that was brought back and fails again: its second dead letter is as good as the first."""

from __future__ import annotations

import asyncio

import pytest

from common.protocol.operations import QueueSettings
from tests.support.delivery_node import DeliveryNode, bodies_of, receipts_of
from tests.support.stores import MemoryCluster
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually


@pytest.mark.parametrize("application", ["notes", "once"])
def test_a_dead_letter_comes_back_as_often_as_it_dies(application: str) -> None:
    """It is meant for one group in its queue, for all groups in the dead-letter queue."""
    loop = VirtualLoop()
    clock = LoopClock(loop)

    async def main() -> None:
        node = DeliveryNode(MemoryCluster(clock), clock=clock)
        dead = await node.queue("dead", application=application)
        settings = QueueSettings(max_deliveries=1, dead_letter_queue="dead")
        queue = await node.queue(application=application, settings=settings)
        await node.publish(queue, b"poison")
        for _ in range(3):
            claims = await node.claim(queue, wait_ms=10_000)
            assert bodies_of(claims) == [b"poison"]
            await node.release(queue, *receipts_of(claims))
            assert bodies_of(await node.claim(queue)) == []
            await asyncio.sleep(10)
            redriven = await node.redrive(dead)
            assert (redriven.redriven, redriven.remaining) == (1, 0)
        await node.close()

    run_virtually(loop, main())
