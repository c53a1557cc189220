"""The register of nodes over a store, with time passed by hand."""

from __future__ import annotations

import asyncio

import pytest

from common.limits import MEMBER_GONE_MS
from common.protocol.failures import Code, FailureError
from storage_node.members import MEMBERS_KEPT_S, Register
from storage_node.store.errors import StoreFailedError
from storage_node.store.interface import MemberRow
from tests.support.clock import ManualClock
from tests.support.stores import MemoryStore


class TiredStore(MemoryStore):
    """Fails while ``tired``, and counts readings of the register."""

    tired = False
    read = 0

    async def list_members(self) -> list[MemberRow]:
        self._complain()
        self.read += 1
        return await super().list_members()

    async def write_member(self, row: MemberRow, *, ttl_s: int) -> None:
        self._complain()
        await super().write_member(row, ttl_s=ttl_s)

    async def remove_member(self, member_id: str) -> None:
        self._complain()
        await super().remove_member(member_id)

    def _complain(self) -> None:
        if self.tired:
            raise StoreFailedError("tired")


def register(store: TiredStore, clock: ManualClock, name: str = "m1") -> Register:
    return Register(store, member_id=name, address=f"tcp://n:{name}", version="1", load=lambda: (3, 4), clock=clock)


async def names(one: Register) -> list[str]:
    return [member.member_id for member in (await one.members()).members]


def test_a_node_is_a_member_until_it_leaves() -> None:
    """It names itself and others, with their load; after leaving only the others."""

    async def test() -> None:
        clock = ManualClock()
        store = TiredStore(clock)
        first, second = register(store, clock), register(store, clock, "m2")
        await first.enter()
        await second.enter()
        assert await names(first) == ["m1", "m2"]
        member = (await first.members()).members[0]
        assert (member.address, member.state, member.in_flight, member.waiting) == ("tcp://n:m1", "serving", 3, 4)
        await first.leave()
        assert await names(first) == ["m2"]

    asyncio.run(test())


def test_a_node_that_ends_is_a_draining_member_until_it_has_ended() -> None:
    """Its entry says so, heartbeats keep it, and leaving takes it out."""

    async def test() -> None:
        clock = ManualClock()
        store = TiredStore(clock)
        one, other = register(store, clock), register(store, clock, "m2")
        await one.enter()
        await other.enter()
        await one.members()
        await one.drain()
        clock.advance(ms=MEMBER_GONE_MS - 1_000)
        await one.enter()
        await other.enter()
        clock.advance(ms=1_500)
        states = {member.member_id: member.state for member in (await one.members()).members}
        assert states == {"m1": "draining", "m2": "serving"}
        await one.leave()
        assert await names(other) == ["m2"]

    asyncio.run(test())


def test_draining_with_a_store_that_fails_is_no_error() -> None:
    """Front ends are told over their connections as well."""

    async def test() -> None:
        clock = ManualClock()
        store = TiredStore(clock)
        one = register(store, clock)
        await one.enter()
        store.tired = True
        await one.drain()
        store.tired = False
        await one.enter()
        assert [member.state for member in (await one.members()).members] == ["draining"]

    asyncio.run(test())


def test_a_silent_node_is_gone() -> None:
    """Without a sign of life for long enough an entry ends."""

    async def test() -> None:
        clock = ManualClock()
        store = TiredStore(clock)
        first, second = register(store, clock), register(store, clock, "m2")
        await first.enter()
        await second.enter()
        clock.advance(ms=MEMBER_GONE_MS - 1_000)
        await first.enter()
        clock.advance(ms=1_500)
        assert await names(first) == ["m1"]

    asyncio.run(test())


def test_one_reading_answers_everybody_for_a_moment() -> None:
    """A thousand front ends cost the store no more than one."""

    async def test() -> None:
        clock = ManualClock()
        store = TiredStore(clock)
        one = register(store, clock)
        await one.enter()
        await asyncio.gather(*(one.members() for _ in range(1_000)))
        assert store.read == 1
        clock.advance(ms=int(MEMBERS_KEPT_S * 1_000) + 100)
        await one.members()
        assert store.read == 2

    asyncio.run(test())


def test_members_outlive_a_store_that_fails_for_a_while() -> None:
    """What was read last is told as long as it can be true, then the failure."""

    async def test() -> None:
        clock = ManualClock()
        store = TiredStore(clock)
        one = register(store, clock)
        await one.enter()
        await one.members()
        store.tired = True
        clock.advance(ms=MEMBER_GONE_MS - 1_000)
        assert await names(one) == ["m1"]
        clock.advance(ms=2_000)
        with pytest.raises(FailureError) as caught:
            await one.members()
        assert caught.value.failure.code is Code.STORE_UNAVAILABLE

    asyncio.run(test())


def test_a_heartbeat_survives_a_store_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The beat goes on; leaving with a tired store is no error, as the entry ends by itself."""

    async def test() -> None:
        monkeypatch.setattr("storage_node.members.HEARTBEAT_MS", 1)
        clock = ManualClock()
        store = TiredStore(clock)
        one = register(store, clock)
        store.tired = True
        beat = asyncio.create_task(one.beat())
        await asyncio.sleep(0.02)
        store.tired = False
        await asyncio.sleep(0.02)
        assert await names(one) == ["m1"]
        store.tired = True
        await one.leave()
        await asyncio.wait_for(beat, 5)

    asyncio.run(test())
