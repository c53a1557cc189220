"""How many round trips to the store a publish waits for: counted as time, where every call takes the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from common.limits import LATE_WINDOW_MS
from common.protocol import operations as ops
from common.protocol.envelope import RequestContext
from storage_node.dispatch import DeliveryOperations, Dispatch
from storage_node.store.interface import Store
from tests.support.log_node import NOTES, LogNode
from tests.support.stores import MemoryCluster
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually

ROUND_TRIP_S = 0.1


class FarStore:
    """Stands before a store; every call takes one round trip."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.capabilities = store.capabilities

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        call = cast("Callable[..., Awaitable[object]]", getattr(self._store, name))

        async def far(*args: object, **kwargs: object) -> object:
            await asyncio.sleep(ROUND_TRIP_S)
            return await call(*args, **kwargs)

        return far


@pytest.mark.parametrize("application", ["notes", "fenced"], ids=["plain", "fenced"])
def test_a_publish_waits_for_one_round_trip_and_for_one_more_after_a_pause(application: str) -> None:
    """In use: the append alone.  After more than D/2: first one round of reads, side by side."""
    loop = VirtualLoop()
    clock = LoopClock(loop)
    node = LogNode(cast(Store, FarStore(MemoryCluster(clock))), clock=clock)
    dispatch = Dispatch(
        node.store, node.queues, node.logs, cast(DeliveryOperations, None), members=_no_members, clock=clock
    )

    async def round_trips(attempt: str) -> float:
        operation = ops.Publish(
            application=application,
            queue="inbox",
            caller=ops.Caller(principals=(f"app:{application}", *NOTES.principals)),
            messages=(ops.NewMessage(body=b"x"),),
            partition=1,
            attempt_key=attempt,
        )
        begun_s = clock.monotonic_s()
        answer = await dispatch(operation, RequestContext(deadline_s=node.deadline_s))
        assert isinstance(answer, ops.Published)
        assert answer.results[0].failure is None
        return round((clock.monotonic_s() - begun_s) / ROUND_TRIP_S, 3)

    async def run() -> None:
        await node.queue("inbox", application=application)
        await round_trips("first")
        assert await round_trips("second") == 1
        await asyncio.sleep(2 * LATE_WINDOW_MS / 1000)
        assert await round_trips("third") == 2
        assert await round_trips("fourth") == 1
        await node.logs.close()

    run_virtually(loop, run())


async def _no_members() -> ops.Members:
    return ops.Members(members=())
