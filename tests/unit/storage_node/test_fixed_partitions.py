"""The partition that a front end fixed for all attempts of a publish is the same on every node."""

from __future__ import annotations

from common.protocol.operations import QueueSettings
from tests.support.log_node import LogNode
from tests.support.stores import MemoryCluster
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually


def test_a_node_that_has_not_heard_of_a_growth_stores_where_the_next_attempt_looks() -> None:
    """The first node knows two partitions, the front end four: the attempt on another node stores nothing new."""
    loop = VirtualLoop()
    clock = LoopClock(loop)
    store = MemoryCluster(clock)
    slow, quick = LogNode(store, clock=clock), LogNode(store, clock=clock, seed=2)

    async def run() -> None:
        old = await slow.queue(application="once", settings=QueueSettings(partitions=2))
        grown = await quick.queues.update("once", "inbox", QueueSettings(partitions=4))
        first = await slow.publish(old, b"x", partition=3, attempt="a")
        second = await quick.publish(grown, b"x", partition=3, attempt="a")
        assert first.results[0].partition == second.results[0].partition == 3
        assert first.results[0].message_id == second.results[0].message_id
        await slow.logs.close()
        await quick.logs.close()

    run_virtually(loop, run())
