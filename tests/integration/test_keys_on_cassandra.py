"""Clients' keys in a plain log on a real Cassandra, through two nodes: one id for ever, one message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from common.limits import LATE_WINDOW_MS
from common.protocol.operations import NewMessage, QueueSettings, Stored
from storage_node.store.interface import QueueRow
from tests.support.cassandra_store import open_test_store
from tests.support.log_node import LogNode
from tests.support.store_calls import fresh_name

pytestmark = [pytest.mark.cassandra, pytest.mark.timeout(400)]
KEYS = 20


@asynccontextmanager
async def two_nodes() -> AsyncIterator[tuple[LogNode, LogNode]]:
    """Open two nodes with a store each."""
    stores = [await open_test_store(1) for _ in range(2)]
    nodes = [LogNode(store, seed=seed, host_clocks=store) for seed, store in enumerate(stores, 1)]
    try:
        for node in nodes:
            node.logs.start()
            await node.logs._clock_check.measure()
        yield nodes[0], nodes[1]
    finally:
        for node in nodes:
            await node.logs.close()
            await node.store.close()


async def send(node: LogNode, queue: QueueRow, keys: Sequence[int]) -> list[Stored]:
    """Publish one message under each key, until all are acknowledged."""
    messages = [NewMessage(body=b"%d" % key, idempotency_key=f"key {key}") for key in keys]
    results: tuple[Stored, ...] = ()
    while not results or any(result.failure is not None for result in results):
        results = (await node.publish(queue, *messages)).results
    return list(results)


@pytest.mark.parametrize("application", ["notes", "most"])
def test_a_key_answers_one_id_long_after_and_on_another_node(application: str) -> None:
    """After D/2 nobody can see any more that the message was in time; the mark says so."""

    async def main() -> None:
        async with two_nodes() as (one, other):
            queue = await one.queue(fresh_name(), application=application)
            first = await send(one, queue, range(KEYS))
            late_s = one.clock.monotonic_s() + LATE_WINDOW_MS / 1000
            queue = await other.queues.create(application, queue.name, QueueSettings(partitions=4))
            while one.clock.monotonic_s() < late_s:
                assert await send(one, queue, range(KEYS)) == first
            for node in (one, other):
                assert await send(node, queue, range(KEYS)) == first
            page = await other.read(queue, partitions=range(1, 5))
            assert sorted(message.message_id for message in page.messages) == sorted(
                result.message_id for result in first
            )

    asyncio.run(main())


def test_two_nodes_at_the_same_moment_agree_on_the_ids() -> None:
    """Both are sent the same keys together: each key gets one id, and there is one message under it."""

    async def main() -> None:
        async with two_nodes() as (one, other):
            queue = await one.queue(fresh_name())
            answers = await asyncio.gather(
                *[send(node, queue, [key]) for key in range(KEYS) for node in (one, other)]
            )
            assert answers[::2] == answers[1::2]
            page = await one.read(queue)
            assert len(page.messages) == KEYS

    asyncio.run(main())
