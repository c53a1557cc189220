"""A strict partition keeps its order within one round of acks and claims."""

from __future__ import annotations

import pytest

from common.guarantees import Ordering
from common.protocol.operations import QueueSettings
from tests.support.delivery_node import DeliveryNode, bodies_of, receipts_of
from tests.support.stores import MemoryCluster
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually


@pytest.mark.parametrize("application", ["notes", "once"])
def test_what_was_given_back_comes_before_what_is_new(application: str) -> None:
    """The round looks up one message for a claim of one, and the ack beside it settles just that one."""
    loop = VirtualLoop()
    clock = LoopClock(loop)

    async def main() -> None:
        node = DeliveryNode(MemoryCluster(clock), clock=clock)
        queue = await node.queue(application=application, settings=QueueSettings(ordering=Ordering.STRICT))
        await node.publish(queue, b"done", b"given back", b"new", partition=1)
        claims = await node.claim(queue, limit=2, wait_ms=10_000)
        done, given_back = receipts_of(claims)
        assert await node.release(queue, given_back) == ["released"]
        claims = await node.claim(queue, limit=1, ack=[done])
        assert [settled.outcome for settled in claims.acked] == ["acked"]
        assert bodies_of(claims) == [b"given back"]
        claims = await node.claim(queue, limit=3, ack=receipts_of(claims))
        assert bodies_of(claims) == [b"new"]
        await node.close()

    run_virtually(loop, main())
