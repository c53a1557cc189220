"""A client's key in a plain log: one id for the message's whole life, whoever asks, whatever was late."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from common.protocol.failures import Code
from common.protocol.operations import NewMessage, QueueSettings, Stored
from storage_node.store.errors import StoreUnknownError
from storage_node.store.interface import QueueRow, Store
from tests.support.delivery_node import counting
from tests.support.log_node import LogNode, bodies
from tests.support.stores import MemoryCluster
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually

DAY_S = 86_400
PLAIN = ("notes", "most")
LATE_S = 4.0
"""Longer than D/2."""


class Dawdling:
    """Answers the first call of one kind late, or says that it does not know, though the call was done at once."""

    def __init__(self, store: Store, name: str, *, unknown: bool = False) -> None:
        self._store = store
        self._name = name
        self._unknown = unknown
        self.capabilities = store.capabilities

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        call = cast("Callable[..., Awaitable[object]]", getattr(self._store, name))

        async def dawdling(*args: object, **kwargs: object) -> object:
            answer = await call(*args, **kwargs)
            if name == self._name:
                self._name = ""
                if self._unknown:
                    raise StoreUnknownError("planned")
                await asyncio.sleep(LATE_S)
            return answer

        return dawdling


class Scene:
    """A store, and nodes on it, in virtual time."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.clock = LoopClock(loop)
        self.store = MemoryCluster(self.clock)
        self.nodes: list[LogNode] = []

    def node(self, store: object | None = None) -> LogNode:
        node = LogNode(cast("Store", store or self.store), clock=self.clock, seed=len(self.nodes) + 1)
        self.nodes.append(node)
        return node


def play(scene: Callable[[Scene], Awaitable[None]]) -> None:
    """Play it to its end."""
    loop = VirtualLoop()

    async def main() -> None:
        stage = Scene(loop)
        await scene(stage)
        for node in stage.nodes:
            await node.logs.close()

    run_virtually(loop, main())


async def send(node: LogNode, queue: QueueRow, *, delay_ms: int | None = None, partition: int = 0) -> Stored:
    """Publish under the key."""
    message = NewMessage(body=b"once", idempotency_key="k", delay_ms=delay_ms)
    return (await node.publish(queue, message, partition=partition)).results[0]


async def stored(node: LogNode, queue: QueueRow) -> list[bytes]:
    """Return the ids of all messages."""
    everywhere = range(1, queue.partitions + 1)
    return [message.message_id for message in (await node.read(queue, partitions=everywhere)).messages]


@pytest.mark.parametrize("application", PLAIN)
@pytest.mark.parametrize("delay_ms", [None, 5_000])
def test_an_acknowledged_key_answers_its_id_for_the_life_of_the_message(
    application: str, delay_ms: int | None
) -> None:
    """Long after D/2, on the next day, from another node, and after the partitions have grown."""

    async def scene(stage: Scene) -> None:
        one, other = stage.node(), stage.node()
        queue = await one.queue(application=application)
        first = await send(one, queue, delay_ms=delay_ms)
        assert first.failure is None
        for pause_s in (1, 10, DAY_S):
            await asyncio.sleep(pause_s)
            queue = await other.queues.create(application, "inbox", QueueSettings(partitions=queue.partitions + 2))
            for node in (one, other):
                assert await send(node, queue, delay_ms=delay_ms, partition=queue.partitions) == first
        assert await stored(other, queue) == [first.message_id]

    play(scene)


def test_what_landed_late_moves_to_a_new_id() -> None:
    """The first node never saw it in time; the second one's retry gets an id that counts, and it is the only one."""

    async def scene(stage: Scene) -> None:
        one, other = stage.node(Dawdling(stage.store, "append_fenced")), stage.node()
        queue = await other.queue(application="notes")
        hanging = asyncio.get_running_loop().create_task(send(one, queue))
        await asyncio.sleep(LATE_S - 1)
        (late,) = await stored(other, queue)
        retried = await send(other, queue)
        assert retried.failure is None
        assert retried.message_id > late
        assert await hanging == retried
        assert await stored(other, queue) == [retried.message_id]

    play(scene)


def test_at_most_once_moves_nothing() -> None:
    """What readers may have seen is not published again: it stays where it is, and its outcome unknown."""

    async def scene(stage: Scene) -> None:
        one, other = stage.node(Dawdling(stage.store, "append_fenced")), stage.node()
        queue = await other.queue(application="most")
        first = await send(one, queue)
        assert first.failure is not None
        assert first.failure.code is Code.OUTCOME_UNKNOWN
        (late,) = await stored(other, queue)
        again = await send(other, queue)
        assert again.failure is not None
        assert again.failure.code is Code.OUTCOME_UNKNOWN
        assert await stored(other, queue) == [late]

    play(scene)


@pytest.mark.parametrize("application", PLAIN)
def test_a_retry_in_time_confirms_what_the_first_attempt_stored(application: str) -> None:
    """Its answer was lost: within D/2 the retry finds it, and it counts from then on."""

    async def scene(stage: Scene) -> None:
        one, other = stage.node(Dawdling(stage.store, "append_fenced", unknown=True)), stage.node()
        queue = await other.queue(application=application)
        await send(one, queue)
        await asyncio.sleep(1)
        second = await send(other, queue)
        assert second.failure is None
        await asyncio.sleep(60)
        assert await send(other, queue) == second
        assert await stored(other, queue) == [second.message_id]

    play(scene)


@pytest.mark.parametrize("application", PLAIN)
def test_a_confirmation_whose_answer_is_lost_is_asked_for_again(application: str) -> None:
    """Confirming twice is the same as once, so the publish goes on."""

    async def scene(stage: Scene) -> None:
        node = stage.node(Dawdling(stage.store, "confirm_keys", unknown=True))
        queue = await node.queue(application=application)
        first = await send(node, queue)
        assert first.failure is None
        assert await stored(node, queue) == [first.message_id]

    play(scene)


def test_what_was_late_yesterday_moves_into_the_bucket_of_today() -> None:
    """The key is given up where it was, so that no attempt still under way can bring the old message back."""

    async def scene(stage: Scene) -> None:
        one, other = stage.node(Dawdling(stage.store, "append_fenced", unknown=True)), stage.node()
        queue = await one.queue(application="notes")
        crashed = asyncio.get_running_loop().create_task(send(one, queue))
        await asyncio.sleep(0.01)
        crashed.cancel()
        for task in list(one.logs._writers._tasks):
            task.cancel()
        await asyncio.sleep(DAY_S)
        (late,) = await stored(other, queue)
        moved = await send(other, queue)
        assert moved.failure is None
        assert moved.message_id > late
        assert await stored(other, queue) == [moved.message_id]
        assert await send(stage.node(), queue) == moved

    play(scene)


def test_a_batch_of_which_a_part_is_stored_stores_the_rest() -> None:
    """Also under at_most_once: what a refusal of the whole batch did not store may be sent again."""

    async def scene(stage: Scene) -> None:
        node = stage.node()
        queue = await node.queue(application="most")
        known = await send(node, queue)
        others = [NewMessage(body=b"%d" % number, idempotency_key=f"n{number}") for number in range(5)]
        again = NewMessage(body=b"once", idempotency_key="k")
        results = (await node.publish(queue, *others, again)).results
        assert all(result.failure is None for result in results)
        assert results[-1] == known
        assert sorted(bodies(await node.read(queue))) == [b"0", b"1", b"2", b"3", b"4", b"once"]

    play(scene)


def test_what_a_key_costs() -> None:
    """One conditional write for its row, one for the message, one to confirm; many keys share the latter two."""

    async def scene(stage: Scene) -> None:
        store, counted = counting(stage.store)
        node = stage.node(store)
        queue = await node.queue(application="notes")
        await send(node, queue)
        kept = {name: counted.calls[name] for name in ("insert_key", "append_fenced", "confirm_keys", "read_keys")}
        assert kept == {"insert_key": 1, "append_fenced": 1, "confirm_keys": 1, "read_keys": 0}
        counted.calls.clear()
        await send(node, queue)
        assert (counted.calls["insert_key"], counted.calls["read_keys"]) == (1, 1)
        assert not counted.calls["append_fenced"] + counted.calls["confirm_keys"]
        counted.calls.clear()
        await node.publish(queue, *(NewMessage(body=b"x", idempotency_key=f"n{number}") for number in range(100)))
        assert counted.calls["insert_key"] == 100
        assert counted.calls["append_fenced"] <= 2
        assert counted.calls["confirm_keys"] <= 2

    play(scene)
