"""A store that fails, dawdles, or does not say what it did, by a seeded plan.

A write whose answer is ``StoreUnknownError`` was applied, was not, or will be later: its condition is then judged
at that later time, as with a request that sat in the queue of a paused coordinator.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Final, TypeVar, cast

from storage_node.store.errors import StoreFailedError, StoreUnknownError
from storage_node.store.interface import Store

T = TypeVar("T")
Call = Callable[..., Awaitable[object]]


class Fault(Enum):
    """What may happen to a call."""

    NONE = "none"
    SLOW = "slow"
    """Waits before and after it is done."""
    FAILED = "failed"
    """Certainly not done."""
    LOST_REQUEST = "lost_request"
    """Unknown; never done."""
    LOST_ANSWER = "lost_answer"
    """Unknown; done."""
    LATE = "late"
    """Unknown; done after a delay."""


WRITES: Final = frozenset(
    {
        "insert_queue",
        "replace_queue",
        "remove_queue",
        "forget_data",
        "erase_step",
        "append_plain",
        "append_fenced",
        "confirm_keys",
        "give_up_key",
        "raise_last",
        "open_bucket",
        "close_bucket",
        "put_message",
        "delete_messages",
        "swap_delivery",
        "insert_group",
        "insert_key",
        "move_key",
        "revoke",
        "write_member",
        "remove_member",
    }
)
READS: Final = frozenset(
    {
        "ping",
        "read_queue",
        "recently_removed",
        "list_queues",
        "read_fence",
        "read_keys",
        "list_buckets",
        "list_messages",
        "read_messages",
        "count_messages",
        "read_delivery",
        "list_groups",
        "list_revocations",
        "list_members",
    }
)


class FaultPlan:
    """Which fault the next call meets: the same seed and calls give the same faults."""

    def __init__(self, seed: int, weights: Mapping[Fault, float], *, delay_s_max: float = 1.0) -> None:
        self._random = random.Random(seed)
        self._faults = list(weights)
        self._weights = list(weights.values())
        self._delay_s_max = delay_s_max
        self._healed = False

    def heal(self) -> None:
        """No more faults."""
        self._healed = True

    def next_fault(self) -> Fault:
        """Draw what happens to the next call."""
        return Fault.NONE if self._healed else self._random.choices(self._faults, self._weights)[0]

    def delay_s(self) -> float:
        """Draw how long something takes."""
        return self._random.uniform(0, self._delay_s_max)


class FaultyStore:
    """Stands before a store; ``faulty`` gives it the type."""

    def __init__(self, store: Store, plan: FaultPlan) -> None:
        self._store = store
        self._plan = plan
        self._late: set[asyncio.Task[None]] = set()
        self.capabilities = store.capabilities

    def __getattr__(self, name: str) -> Call:
        if name not in WRITES | READS:
            raise AttributeError(name)
        call = cast("Call", getattr(self._store, name))
        is_write = name in WRITES

        async def faulty_call(*args: object, **kwargs: object) -> object:
            return await self._meet(is_write, lambda: call(*args, **kwargs))

        return faulty_call

    async def close(self) -> None:
        """Let late writes land, then close the store behind."""
        await self.settle()
        await self._store.close()

    async def settle(self) -> None:
        """Return when no write is still to land."""
        while self._late:
            await asyncio.gather(*self._late)

    async def _meet(self, is_write: bool, call: Callable[[], Awaitable[T]]) -> T:
        fault = self._plan.next_fault()
        if fault is Fault.NONE:
            return await call()
        if fault is Fault.FAILED or (not is_write and fault is not Fault.SLOW):
            raise StoreFailedError("planned")
        await asyncio.sleep(self._plan.delay_s())
        if fault is Fault.SLOW:
            answer = await call()
            await asyncio.sleep(self._plan.delay_s())
            return answer
        if fault is Fault.LOST_ANSWER:
            await call()
        elif fault is Fault.LATE:
            self._land_later(call)
        raise StoreUnknownError("planned")

    def _land_later(self, call: Callable[[], Awaitable[object]]) -> None:
        delay_s = self._plan.delay_s()

        async def land() -> None:
            await asyncio.sleep(delay_s)
            try:
                await call()
            except StoreFailedError:
                return  # it never happened after all

        task = asyncio.get_running_loop().create_task(land())
        self._late.add(task)
        task.add_done_callback(self._late.discard)


def faulty(store: Store, plan: FaultPlan) -> tuple[Store, FaultyStore]:
    """Return the faulty store, as a ``Store`` and as what it is (for ``settle``)."""
    wrapper = FaultyStore(store, plan)
    return cast("Store", wrapper), wrapper
