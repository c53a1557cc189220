"""What a node's log tells of the bodies that it stored: each once, wherever it came from."""

from __future__ import annotations

import asyncio

import pytest

from common.identifiers import TICKS_PER_SECOND, ticks_of
from common.protocol.operations import NewMessage, QueueSettings
from tests.support.delivery_node import DeliveryNode, receipts_of
from tests.support.stores import MemoryCluster, MemoryStore
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually

TTL_S = 500


@pytest.mark.parametrize("application", ["notes", "once", "most", "fenced"])
@pytest.mark.parametrize("make", [MemoryStore, MemoryCluster])
def test_every_body_that_is_stored_is_told_of_once(make: type[MemoryStore], application: str) -> None:
    """Of one message and of many, delayed, edited; with its time; not of a key's repetition, nor of a refusal."""
    loop = VirtualLoop()
    clock = LoopClock(loop)
    told: list[tuple[str, int, int]] = []

    async def main() -> None:
        node = DeliveryNode(make(clock), clock=clock, on_stored=lambda *each: told.append(each))
        queue = await node.queue(application=application, settings=QueueSettings(ttl_s=TTL_S))
        stored = await node.publish(queue, b"1", partition=1)
        assert told == [(application, 1, ticks_of(stored.results[0].message_id) + TTL_S * TICKS_PER_SECOND)]
        await node.publish(queue, b"22", NewMessage(body=b"333", delay_ms=1_000, ttl_s=3), partition=1)
        for _ in range(2):
            await node.publish(queue, NewMessage(body=b"4444", idempotency_key="once"), partition=1)
        await node.publish(queue, NewMessage(body=b"another", idempotency_key="once"), partition=1)
        await node.put(queue, b"55555", (1, stored.results[0].message_id))
        assert sorted(size for _, size, _ in told) == [1, 2, 3, 4, 5]
        assert {name for name, _, _ in told} == {application}
        await node.close()

    run_virtually(loop, main())


def test_dead_letters_and_what_is_brought_back_are_told_of() -> None:
    """Each is a body in the store beside the one that it was made from."""
    loop = VirtualLoop()
    clock = LoopClock(loop)
    told: list[tuple[str, int, int]] = []

    async def main() -> None:
        node = DeliveryNode(MemoryCluster(clock), clock=clock, on_stored=lambda *each: told.append(each))
        dead = await node.queue("dead")
        queue = await node.queue(settings=QueueSettings(max_deliveries=1, dead_letter_queue="dead"))
        await node.publish(queue, b"poison")
        await node.release(queue, *receipts_of(await node.claim(queue)))
        await node.claim(queue)
        await asyncio.sleep(10)
        assert [size for _, size, _ in told] == [6, 6]
        await node.redrive(dead)
        assert [size for _, size, _ in told] == [6, 6, 6]
        await node.close()

    run_virtually(loop, main())
