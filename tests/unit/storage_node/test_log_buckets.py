"""Buckets of a log on a store that has them: what an append finds at their edges."""

from __future__ import annotations

import asyncio

from common.identifiers import TICKS_PER_SECOND
from common.protocol.operations import NewMessage
from storage_node.log.buckets import SPAN_TICKS
from tests.support.log_node import LogNode, bodies
from tests.support.stores import MemoryCluster
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually


def test_the_first_delayed_message_may_be_due_just_after_a_bucket_begins() -> None:
    """It looks for earlier attempts in the buckets before, of which there are none."""
    loop = VirtualLoop()
    clock = LoopClock(loop)

    async def main() -> None:
        node = LogNode(MemoryCluster(clock), clock=clock)
        queue = await node.queue(application="once")
        await asyncio.sleep((SPAN_TICKS - clock.now_ticks() % SPAN_TICKS) / TICKS_PER_SECOND + 1)
        (stored,) = (await node.publish(queue, NewMessage(body=b"soon", delay_ms=2_000), attempt="a")).results
        assert stored.failure is None
        await asyncio.sleep(3)
        assert bodies(await node.read(queue)) == [b"soon"]
        await node.logs.close()

    run_virtually(loop, main())
