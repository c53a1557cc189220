"""A strict partition keeps its order across its two lanes, also while a node does not know of all its own appends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from common.guarantees import Ordering
from common.protocol.operations import NewMessage, QueueSettings
from storage_node.store.interface import Store
from tests.support.delivery_node import DeliveryNode, bodies_of
from tests.support.stores import MemoryCluster
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually


class Stuck:
    """Lets appends go on only after ``go``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.go = asyncio.Event()
        self.capabilities = store.capabilities

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        call = cast("Callable[..., Awaitable[object]]", getattr(self._store, name))

        async def stuck(*args: object, **kwargs: object) -> object:
            if name == "append_fenced":
                await self.go.wait()
            return await call(*args, **kwargs)

        return stuck


def test_a_delayed_message_does_not_overtake_what_an_undecided_append_hides() -> None:
    """One node's own append is under way, so it lists the live lane only up to there: no later one may go out yet."""
    loop = VirtualLoop()
    clock = LoopClock(loop)

    async def main() -> None:
        store = MemoryCluster(clock)
        stuck = Stuck(store)
        one, other = DeliveryNode(cast("Store", stuck), clock=clock), DeliveryNode(store, clock=clock, seed=7)
        queue = await other.queue(application="once", settings=QueueSettings(ordering=Ordering.STRICT))
        hanging = asyncio.get_running_loop().create_task(one.publish(queue, b"hangs"))
        await asyncio.sleep(0.1)
        await other.publish(queue, b"live")
        await other.publish(queue, NewMessage(body=b"delayed", delay_ms=500))
        await asyncio.sleep(2)
        assert bodies_of(await one.claim(queue)) == []
        stuck.go.set()
        await hanging
        assert bodies_of(await one.claim(queue))[0] == b"live"
        await one.close()
        await other.close()

    run_virtually(loop, main())
