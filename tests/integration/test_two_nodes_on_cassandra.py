"""Two storage nodes that both serve one partition of a real Cassandra, some hundred messages under each guarantee."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from common.protocol.failures import FailureError
from storage_node.store.errors import StoreError
from storage_node.store.interface import QueueRow
from tests.support.cassandra_store import open_test_store
from tests.support.delivery_node import DeliveryNode, bodies_of, receipts_of

pytestmark = [pytest.mark.cassandra, pytest.mark.timeout(300)]
MESSAGES = 300
EMPTY_CLAIMS = 3
"""Empty claims in a row after which a consumer is done."""


async def _consume(node: DeliveryNode, queue: QueueRow, seen: list[bytes], won: list[bytes]) -> None:
    """Claim and ack until nothing comes any more."""
    empty = 0
    while empty < EMPTY_CLAIMS:
        try:
            claims = await node.claim(queue, limit=7, lease_ms=20_000, wait_ms=700)
            bodies = bodies_of(claims)
            seen += bodies
            outcomes = await node.ack(queue, *receipts_of(claims)) if receipts_of(claims) else []
        except (FailureError, StoreError):
            continue
        won += [body for body, outcome in zip(bodies, outcomes, strict=False) if outcome == "acked"]
        empty = 0 if bodies else empty + 1


@pytest.mark.parametrize("application", ["once", "notes", "most"])
def test_two_nodes_share_a_partition_and_keep_the_guarantee(application: str) -> None:
    """Nothing is lost where it must not be, and nothing comes twice where it must not."""

    async def main() -> None:
        stores = [await open_test_store(1) for _ in range(2)]
        nodes = [DeliveryNode(store, seed=seed) for seed, store in enumerate(stores)]
        queue = await nodes[0].queue(f"both-{application}", application=application)
        seen: list[bytes] = []
        won: list[bytes] = []
        consumers = [asyncio.create_task(_consume(node, queue, seen, won)) for node in (*nodes, *nodes)]
        stored: list[bytes] = []
        for first in range(0, MESSAGES, 10):
            batch = [b"%d" % number for number in range(first, first + 10)]
            answer = await nodes[first // 10 % 2].publish(queue, *batch, partition=1, attempt=f"a{first}")
            stored += [body for body, one in zip(batch, answer.results, strict=True) if one.failure is None]
        await asyncio.gather(*consumers)
        if application == "most":
            assert max(Counter(seen).values()) == 1
        else:
            assert set(stored) <= set(won)
        if application == "once":
            assert max(Counter(won).values()) == 1
            assert max(Counter(seen).values()) == 1
        for node, store in zip(nodes, stores, strict=True):
            await node.close()
            await store.close()

    asyncio.run(main())
