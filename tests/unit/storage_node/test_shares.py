"""Shares of stored bytes: when a body stops to count, how many rows there are, and what a failing store does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from common.clock import unix_ms_to_ticks
from common.identifiers import TICKS_PER_SECOND
from common.limits import TTL_S_MAX
from storage_node.shares import FRESH_S, KEPT_S, STEPS_PER_LIFE, SharedSums, until_s_of
from storage_node.store.errors import StoreFailedError
from storage_node.store.shares import Share
from tests.support.clock import ManualClock
from tests.support.stores import MemoryCluster

APPLICATION = "notes"
NOW_S = 1_795_554_858


@given(life_s=st.integers(1, TTL_S_MAX), later_ms=st.integers(0, 10_000_000))
def test_a_body_counts_until_it_expires_and_little_longer(life_s: int, later_ms: int) -> None:
    """Never shorter; longer by a thirty-second of its life and the rest of a second at most."""
    now_ms = NOW_S * 1_000 + later_ms
    until_ms = until_s_of(unix_ms_to_ticks(now_ms + life_s * 1_000), unix_ms_to_ticks(now_ms)) * 1_000
    expires_ms = now_ms + life_s * 1_000
    assert expires_ms <= until_ms <= expires_ms + life_s * 1_000 / STEPS_PER_LIFE + 2_000


@given(life_s=st.integers(1, TTL_S_MAX))
def test_messages_of_one_length_of_life_have_few_rows(life_s: int) -> None:
    """However many are published, evenly over that time: what is live at once lies in two rows for each step."""
    moments = [NOW_S + life_s * number // 500 for number in range(500)]
    rows = {until_s_of(_ticks(moment + life_s), _ticks(moment)) for moment in moments}
    assert len(rows) <= 2 * STEPS_PER_LIFE + 1


def _ticks(unix_s: int) -> int:
    return unix_ms_to_ticks(unix_s * 1_000)


class Failing(MemoryCluster):
    """Fails while it is told to, and counts what it is asked."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.fails = False
        self.writes = 0
        self.reads = 0

    async def write_shares(self, application: str, shares: Sequence[Share]) -> None:
        self.writes += 1
        self._judge()
        await super().write_shares(application, shares)

    async def list_shares(self, application: str, *, now_ticks: int) -> list[Share]:
        self.reads += 1
        self._judge()
        return await super().list_shares(application, now_ticks=now_ticks)

    def _judge(self) -> None:
        if self.fails:
            raise StoreFailedError("it does not answer")


def sums(store: Failing, clock: ManualClock, member_id: str) -> SharedSums:
    return SharedSums(store, [APPLICATION], clock=clock, member_id=member_id)


def test_a_share_that_could_not_be_written_is_written_later() -> None:
    """The node's own sum has it at once; the others learn of it once, however often it was tried."""

    async def scenario() -> None:
        clock = ManualClock(_ticks(NOW_S))
        store = Failing(clock)
        first, second = sums(store, clock, "a"), sums(store, clock, "b")
        first.note(APPLICATION, 100, clock.now_ticks() + 600 * TICKS_PER_SECOND)
        store.fails = True
        for _ in range(2):
            await first.write()
        assert (await first.used(APPLICATION), await second.used(APPLICATION)) == (100, 0)
        store.fails = False
        for _ in range(3):
            await first.write()
        assert store.writes == 3
        clock.advance(ms=int(KEPT_S * 1_000))
        assert (await first.used(APPLICATION), await second.used(APPLICATION)) == (100, 100)

    asyncio.run(scenario())


def test_the_last_sum_stands_while_the_store_does_not_answer() -> None:
    """And it is not asked by every publish."""

    async def scenario() -> None:
        clock = ManualClock(_ticks(NOW_S))
        store = Failing(clock)
        await store.write_shares(APPLICATION, [Share("other", NOW_S + 600, 70)])
        own = sums(store, clock, "a")
        assert await own.used(APPLICATION) == 70
        store.fails = True
        clock.advance(ms=int(KEPT_S * 1_000))
        assert [await own.used(APPLICATION) for _ in range(50)] == [70] * 50
        assert store.reads == 2

    asyncio.run(scenario())


def test_a_sum_is_read_again_by_whoever_publishes_next() -> None:
    """Not while it is fresh; then beside a publish, which waits only for one that is too old.  Nobody: no read."""

    async def scenario() -> None:
        clock = ManualClock(_ticks(NOW_S))
        store = Failing(clock)
        own = sums(store, clock, "a")
        assert await own.used(APPLICATION) == 0
        await store.write_shares(APPLICATION, [Share("other", NOW_S + 600, 70)])
        clock.advance(ms=int(FRESH_S * 500))
        assert (await own.used(APPLICATION), store.reads) == (0, 1)
        clock.advance(ms=int(FRESH_S * 500))
        assert await own.used(APPLICATION) == 0
        await asyncio.sleep(0)
        assert (await own.used(APPLICATION), store.reads) == (70, 2)
        clock.advance(ms=3_600_000)
        await own.write()
        assert (store.reads, store.writes) == (2, 1)
        assert (await own.used(APPLICATION), store.reads) == (0, 3)

    asyncio.run(scenario())


def test_an_own_share_goes_when_it_has_expired() -> None:
    """From the node's sum and from what it writes; another application's bodies are not counted at all."""

    async def scenario() -> None:
        clock = ManualClock(_ticks(NOW_S))
        store = Failing(clock)
        own = sums(store, clock, "a")
        own.note(APPLICATION, 5, clock.now_ticks() + 10 * TICKS_PER_SECOND)
        own.note(APPLICATION, 7, clock.now_ticks() + 20 * TICKS_PER_SECOND)
        own.note("other", 1_000, clock.now_ticks() + 20 * TICKS_PER_SECOND)
        assert await own.used(APPLICATION) == 12
        clock.advance(ms=11_000)
        await own.write()
        assert await own.used(APPLICATION) == 7
        rows = await store.list_shares(APPLICATION, now_ticks=clock.now_ticks())
        assert rows == [Share("a", NOW_S + 20, 7)]

    asyncio.run(scenario())
