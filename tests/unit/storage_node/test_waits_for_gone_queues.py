"""Whoever waits for messages of a queue hears at once that it was deleted or emptied, not at the end of the wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

import msgspec
import pytest

from common.limits import LATE_WINDOW_MS, RESCAN_MS
from common.protocol import operations as ops
from common.protocol.envelope import RequestContext
from common.protocol.failures import Code, FailureError
from storage_node.dispatch import Dispatch
from storage_node.store.interface import Store
from tests.support.delivery_node import DeliveryNode, bodies_of
from tests.support.log_node import NOTES, bodies
from tests.support.stores import MemoryCluster, MemoryStore
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually

NAMES: dict[str, Any] = {"application": "notes", "queue": "inbox", "caller": NOTES}
WAITING: dict[str, ops.Claim | ops.Read] = {
    "claim": ops.Claim(**NAMES, group="default", limit=10, lease_ms=None, wait_ms=50_000, claim_id=None),
    "read": ops.Read(**NAMES, partitions=(1,), limit=10, wait_ms=50_000),
}
CHANGES: dict[str, ops.QueueOperation] = {"delete": ops.DeleteQueue(**NAMES), "purge": ops.PurgeQueue(**NAMES)}
Scene = Callable[[Store, LoopClock], Coroutine[object, object, None]]


class Node(DeliveryNode):
    """A node that is asked through its dispatch."""

    def __init__(self, store: Store, clock: LoopClock, *, seed: int = 1) -> None:
        super().__init__(store, clock=clock, seed=seed)
        self.dispatch = Dispatch(store, self.queues, self.logs, self.delivery, members=_nobody, clock=clock)

    async def serve(self, operation: ops.Operation) -> msgspec.Struct:
        return await self.dispatch(operation, RequestContext(deadline_s=self.clock.monotonic_s() + 60))


class SlowToFind:
    """Answers the first look for a queue a second late, with what stood there when it was asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._slow = True
        self.capabilities = store.capabilities

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        call = cast("Callable[..., Awaitable[object]]", getattr(self._store, name))

        async def late(*args: object, **kwargs: object) -> object:
            answer = await call(*args, **kwargs)
            if name == "read_queue" and self._slow:
                self._slow = False
                await asyncio.sleep(1)
            return answer

        return late


async def _nobody() -> ops.Members:
    return ops.Members(members=())


def play(make: Callable[[LoopClock], Store], scene: Scene) -> None:
    """Play a scene in virtual time."""
    loop = VirtualLoop()
    clock = LoopClock(loop)
    run_virtually(loop, scene(make(clock), clock))


async def ended_with(waiting: asyncio.Task[msgspec.Struct], change: str) -> None:
    """Expect what the change leaves of the queue: nothing, or nothing in it."""
    if change == "delete":
        with pytest.raises(FailureError) as caught:
            await waiting
        assert caught.value.failure.code is Code.QUEUE_NOT_FOUND
        return
    answer = await waiting
    found = bodies_of(answer) if isinstance(answer, ops.Claims) else bodies(cast("ops.MessagesRead", answer))
    assert found == []


async def ends_in_time(node: Node, *, kind: str, change: str, head_start_s: float, within_s: float) -> None:
    """Let a client of the node wait, and the queue change after a head start; the wait ends as soon as it should."""
    waiting = asyncio.create_task(node.serve(WAITING[kind]))
    await asyncio.sleep(head_start_s)
    changing = asyncio.create_task(node.serve(CHANGES[change]))
    await asyncio.sleep(within_s)
    assert waiting.done()
    await ended_with(waiting, change)
    await changing
    await node.close()


@pytest.mark.parametrize("make", [MemoryStore, MemoryCluster])
@pytest.mark.parametrize("change", sorted(CHANGES))
@pytest.mark.parametrize("kind", sorted(WAITING))
def test_a_wait_ends_with_its_queue(make: Callable[[LoopClock], Store], kind: str, change: str) -> None:
    """On the node that deletes or empties it: in the moment in which it does."""

    async def scene(store: Store, clock: LoopClock) -> None:
        node = Node(store, clock)
        await node.queue()
        await ends_in_time(node, kind=kind, change=change, head_start_s=5, within_s=0.01)

    play(make, scene)


@pytest.mark.parametrize("change", sorted(CHANGES))
@pytest.mark.parametrize("kind", sorted(WAITING))
def test_a_wait_that_begins_after_the_change_does_not_wait_for_what_is_gone(kind: str, change: str) -> None:
    """Its queue was found before, and deleted or emptied before it could begin to wait."""

    async def scene(store: Store, clock: LoopClock) -> None:
        await Node(store, clock, seed=2).queue()
        node = Node(cast("Store", SlowToFind(store)), clock)
        await ends_in_time(node, kind=kind, change=change, head_start_s=0.5, within_s=1)

    play(MemoryStore, scene)


@pytest.mark.parametrize("change", sorted(CHANGES))
@pytest.mark.parametrize("kind", sorted(WAITING))
def test_a_wait_on_another_node_ends_soon(kind: str, change: str) -> None:
    """Once that node's knowledge of the queue's name is D/2 old it looks again."""

    async def scene(store: Store, clock: LoopClock) -> None:
        node, other = Node(store, clock), Node(store, clock, seed=2)
        await node.queue()
        waiting = asyncio.create_task(other.serve(WAITING[kind]))
        await asyncio.sleep(5)
        await node.serve(CHANGES[change])
        await asyncio.sleep((LATE_WINDOW_MS / 2 + 2 * RESCAN_MS) / 1000)
        assert waiting.done()
        await ended_with(waiting, change)
        await node.close()
        await other.close()

    play(MemoryCluster, scene)


def test_acks_beside_a_claim_keep_their_answers() -> None:
    """The claim waits in vain, but what was acked with it was acked."""

    async def scene(store: Store, clock: LoopClock) -> None:
        node = Node(store, clock)
        queue = await node.queue()
        await node.publish(queue, b"one")
        (one,) = (await node.claim(queue)).claims
        claim = msgspec.structs.replace(WAITING["claim"], ack=(one.receipt or "",))
        waiting = asyncio.create_task(node.serve(claim))
        await asyncio.sleep(5)
        await node.serve(CHANGES["purge"])
        assert waiting.done()
        answer = cast("ops.Claims", await waiting)
        assert [one.outcome for one in answer.acked] == ["acked"]
        assert answer.claims == ()
        await node.close()

    play(MemoryCluster, scene)
