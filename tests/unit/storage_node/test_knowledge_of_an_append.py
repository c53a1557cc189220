"""What an append rests on does not grow old while it is under way, as at_most_once can't try again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from common.protocol.operations import NewMessage
from storage_node.store.interface import Store
from tests.support.log_node import LogNode
from tests.support.stores import MemoryCluster
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually

APPEND_TAKES_S = 0.4
PUBLISHES = 60


class SlowAppends:
    """Takes a while for each append."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.capabilities = store.capabilities

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        call = cast("Callable[..., Awaitable[object]]", getattr(self._store, name))

        async def slow(*args: object, **kwargs: object) -> object:
            if name == "append_plain":
                await asyncio.sleep(APPEND_TAKES_S)
            return await call(*args, **kwargs)

        return slow


def test_no_publish_fails_for_the_age_of_what_was_known_at_its_begin() -> None:
    """Publishes that begin at every age of the queue's row and of the log's index are all acknowledged."""
    loop = VirtualLoop()
    clock = LoopClock(loop)

    async def main() -> None:
        node = LogNode(cast("Store", SlowAppends(MemoryCluster(clock))), clock=clock)
        queue = await node.queue(application="most")
        for number in range(PUBLISHES):
            (stored,) = (await node.publish(queue, NewMessage(body=b"x"))).results
            assert stored.failure is None, (number, stored.failure)
            await asyncio.sleep(0.05 + number % 7 * 0.31)
        await node.logs.close()

    run_virtually(loop, main())
