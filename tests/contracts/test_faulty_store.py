"""The store that fails by plan: what it says of an outcome is true, and it covers every call."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from storage_node.store.errors import StoreFailedError, StoreUnknownError
from storage_node.store.interface import Store
from tests.support.faulty_store import READS, WRITES, Fault, FaultPlan, FaultyStore, faulty
from tests.support.store_calls import append, fresh_log, ids_from, list_all, message, now, open_log
from tests.support.stores import MemoryStore


def test_every_call_of_the_interface_is_a_read_or_a_write() -> None:
    """A call added to the interface must be placed before it can be faulted."""
    calls = {name for name, value in inspect.getmembers(Store, inspect.iscoroutinefunction)}
    assert calls - {"close"} == READS | WRITES
    assert not READS & WRITES


def planned(fault: Fault, behind: Store, *, delay_s_max: float = 0.0) -> tuple[Store, FaultyStore]:
    """Return a store whose every call meets this fault."""
    return faulty(behind, FaultPlan(1, {fault: 1.0}, delay_s_max=delay_s_max))


@pytest.mark.parametrize(
    ("fault", "error", "stored"),
    [
        (Fault.FAILED, StoreFailedError, False),
        (Fault.LOST_REQUEST, StoreUnknownError, False),
        (Fault.LOST_ANSWER, StoreUnknownError, True),
    ],
)
def test_a_fault_says_what_it_knows(fault: Fault, error: type[Exception], *, stored: bool) -> None:
    """A failed write is not there; an unknown one is or is not."""

    async def scenario() -> None:
        behind, log = MemoryStore(), fresh_log()
        bucket = await open_log(behind, log)
        store, _ = planned(fault, behind)
        with pytest.raises(error):
            await append(store, log, bucket, [message(each) for each in ids_from(now(), 1)])
        assert bool(await list_all(behind, log, bucket)) == stored

    asyncio.run(scenario())


def test_a_late_write_lands_after_its_answer() -> None:
    """It is not there when the caller hears that nothing is known, and there once all has settled."""

    async def scenario() -> None:
        behind, log = MemoryStore(), fresh_log()
        bucket = await open_log(behind, log)
        store, wrapper = planned(Fault.LATE, behind, delay_s_max=0.01)
        with pytest.raises(StoreUnknownError):
            await append(store, log, bucket, [message(each) for each in ids_from(now(), 1)])
        assert await list_all(behind, log, bucket) == []
        await wrapper.settle()
        assert len(await list_all(behind, log, bucket)) == 1

    asyncio.run(scenario())


def test_the_same_seed_gives_the_same_faults() -> None:
    """A failing run can be replayed, and a healed plan has no faults."""
    weights = dict.fromkeys(Fault, 1.0)
    one, other = FaultPlan(7, weights), FaultPlan(7, weights)
    drawn = [one.next_fault() for _ in range(50)]
    assert drawn == [other.next_fault() for _ in range(50)]
    assert set(drawn) == set(Fault)
    one.heal()
    assert {one.next_fault() for _ in range(50)} == {Fault.NONE}
