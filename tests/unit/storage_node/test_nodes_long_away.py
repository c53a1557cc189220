"""A node that comes back to a log after longer than a closed bucket is kept."""

from __future__ import annotations

import asyncio

from common.identifiers import TICKS_PER_SECOND
from storage_node.log.bounds import log_of
from storage_node.log.buckets import SPAN_TICKS
from storage_node.store.interface import Lane, LogAddress
from tests.support.log_node import LogNode, bodies
from tests.support.stores import MemoryCluster
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually


class ForgetfulCluster(MemoryCluster):
    """Lets go of a bucket on demand, as a store does whose rows have a time to live."""

    def expire(self, log: LogAddress, bucket: int) -> None:
        del self._buckets(log)[bucket]


def test_what_a_node_publishes_after_days_elsewhere_is_seen_by_all() -> None:
    """The bucket that it wrote last was closed, and has expired: it must not be made anew behind the present one."""
    loop = VirtualLoop()
    clock = LoopClock(loop)

    async def main() -> None:
        store = ForgetfulCluster(clock)
        away, other = (LogNode(store, clock=clock, seed=seed) for seed in (1, 2))
        queue = await away.queue(application="fenced")
        await away.publish(queue, b"first")
        await asyncio.sleep(SPAN_TICKS / TICKS_PER_SECOND + 1)
        for body in (b"closes the first bucket", b"is in the second"):
            await other.publish(queue, body)
        await asyncio.sleep(SPAN_TICKS / TICKS_PER_SECOND * 20)
        await other.publish(queue, b"keeps the second")
        store.expire(log_of(queue, 1, Lane.LIVE), 0)
        (stored,) = (await away.publish(queue, b"after days")).results
        assert stored.failure is None
        await asyncio.sleep(2)  # what a node knows of a fence it knows for a second
        for node in (away, other):
            assert b"after days" in bodies(await node.read(queue))
        await away.logs.close()
        await other.logs.close()

    run_virtually(loop, main())
