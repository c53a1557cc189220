"""Buckets of a log on a store that has them: what an append finds at their edges."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from common.identifiers import TICKS_PER_SECOND
from common.protocol.operations import NewMessage
from storage_node.log.buckets import SPAN_TICKS
from storage_node.store.interface import Store
from tests.support.log_node import LogNode, bodies
from tests.support.stores import MemoryCluster
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually


class SlowToAppend:
    """Brings the first append to the store seconds late."""

    def __init__(self, store: Store, *, by_s: float) -> None:
        self._store = store
        self._by_s = by_s
        self.capabilities = store.capabilities

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        call = cast("Callable[..., Awaitable[object]]", getattr(self._store, name))

        async def slow(*args: object, **kwargs: object) -> object:
            if name == "append_fenced":
                by_s, self._by_s = self._by_s, 0.0
                await asyncio.sleep(by_s)
            return await call(*args, **kwargs)

        return slow


def test_the_first_delayed_message_may_be_due_just_after_a_bucket_begins() -> None:
    """It looks for earlier attempts in the buckets before, of which there are none."""
    loop = VirtualLoop()
    clock = LoopClock(loop)

    async def main() -> None:
        node = LogNode(MemoryCluster(clock), clock=clock)
        queue = await node.queue(application="once")
        await asyncio.sleep((SPAN_TICKS - clock.now_ticks() % SPAN_TICKS) / TICKS_PER_SECOND + 1)
        (stored,) = (await node.publish(queue, NewMessage(body=b"soon", delay_ms=2_000), attempt="a")).results
        assert stored.failure is None
        await asyncio.sleep(3)
        assert bodies(await node.read(queue)) == [b"soon"]
        await node.logs.close()

    run_virtually(loop, main())


def test_attempts_on_both_sides_of_a_buckets_end_are_stored_once() -> None:
    """A delayed bucket is never closed: the later attempt gives the key up in it, so the earlier lands nowhere."""
    loop = VirtualLoop()
    clock = LoopClock(loop)

    async def main() -> None:
        store = MemoryCluster(clock)
        slow = SlowToAppend(store, by_s=4)
        one, other = LogNode(cast("Store", slow), clock=clock), LogNode(store, clock=clock, seed=2)
        queue = await one.queue(application="once")
        message = NewMessage(body=b"once", delay_ms=2_000)
        await asyncio.sleep((SPAN_TICKS - clock.now_ticks() % SPAN_TICKS) / TICKS_PER_SECOND - 3)
        first = asyncio.create_task(one.publish(queue, message, attempt="a"))
        await asyncio.sleep(2)
        second = await other.publish(queue, message, attempt="a")
        assert second.results[0].failure is None
        assert (await first).results == second.results
        await asyncio.sleep(10)
        assert bodies(await other.read(queue)) == [b"once"]
        for node in (one, other):
            await node.logs.close()

    run_virtually(loop, main())
