"""What a node answers where its store does not know what became of a call."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from common.clock import SYSTEM_CLOCK
from common.protocol.envelope import RequestContext
from common.protocol.failures import Code, FailureError
from common.protocol.operations import CreateQueue, Members, Operation, Ping, QueueSettings
from storage_node.dispatch import DeliveryOperations, Dispatch
from storage_node.store.errors import StoreUnknownError
from storage_node.store.interface import QueueRow
from tests.support.log_node import NOTES, LogNode
from tests.support.stores import MemoryStore


class UnsureStore(MemoryStore):
    """Never knows."""

    async def ping(self) -> None:
        raise StoreUnknownError("timed out")

    async def insert_queue(self, row: QueueRow) -> QueueRow | None:
        raise StoreUnknownError(f"timed out: {row.name}")


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        (Ping(store=True), Code.STORE_UNAVAILABLE),
        (
            CreateQueue(application="notes", caller=NOTES, queue="inbox", settings=QueueSettings()),
            Code.OUTCOME_UNKNOWN,
        ),
    ],
)
def test_the_outcome_of_a_read_is_never_unknown(operation: Operation, code: Code) -> None:
    """It did nothing that its client asked for, so it failed; a change may have been made."""

    async def test() -> None:
        store = UnsureStore()
        node = LogNode(store)
        delivery = cast("DeliveryOperations", None)
        dispatch = Dispatch(store, node.queues, node.logs, delivery, members=nobody, clock=SYSTEM_CLOCK)
        context = RequestContext(deadline_s=SYSTEM_CLOCK.monotonic_s() + 5, log_id="", traceparent="")
        with pytest.raises(FailureError) as caught:
            await dispatch(operation, context)
        assert caught.value.failure.code is code
        await node.logs.close()

    asyncio.run(test())


async def nobody() -> Members:
    return Members(members=())
