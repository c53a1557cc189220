"""Ids are strictly increasing on one node, and never far ahead of its clock."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.identifiers import id_from_hex, id_to_hex, make_id
from common.protocol.failures import Code, FailureError
from storage_node.log.ids import AHEAD_TICKS_MAX, Stamper
from tests.support.clock import ManualClock


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("stamp"), st.integers(1, 1_000)),
            st.tuples(st.just("advance"), st.integers(0, 50_000)),
            st.tuples(st.just("step"), st.integers(-2_000, 2_000)),
            st.tuples(st.just("mark"), st.just(0)),
        ),
        max_size=60,
    )
)
def test_ids_ascend_and_stay_near_the_clock_whatever_it_does(moves: list[tuple[str, int]]) -> None:
    """A refused stamp gives no id; a mark is never reached by a later stamp."""
    clock = ManualClock()
    stamper = Stamper(clock, random.Random(1))
    last = 0
    for kind, amount in moves:
        if kind == "advance":
            clock.advance(ticks=amount)
        elif kind == "step":
            clock.step(ms=amount)
        elif kind == "mark":
            last = max(last, stamper.mark())
        else:
            if last + amount > clock.now_ticks() + AHEAD_TICKS_MAX:
                with pytest.raises(FailureError) as refused:
                    stamper.stamp(amount)
                assert refused.value.failure.code is Code.CLOCK_UNSURE
                continue
            first = stamper.stamp(amount)
            assert first > last
            last = first + amount - 1
            assert last <= clock.now_ticks() + AHEAD_TICKS_MAX


def test_a_backward_step_is_refused_and_says_when_to_come_again() -> None:
    clock = ManualClock()
    stamper = Stamper(clock, random.Random(1))
    stamper.stamp()
    clock.step(ms=-10_000)
    with pytest.raises(FailureError) as refused:
        stamper.stamp()
    assert 8_000 < refused.value.failure.retry_after_ms < 10_000
    clock.advance(ms=refused.value.failure.retry_after_ms)
    assert stamper.stamp()


def test_another_nodes_id_is_passed_without_moving_the_series() -> None:
    clock = ManualClock()
    stamper = Stamper(clock, random.Random(1))
    now = clock.now_ticks()
    assert stamper.stamp(above=now + 1_000) == now + 1_001
    assert stamper.stamp() == now
    assert stamper.highest == now + 1_001


def test_the_low_halves_are_version_1_uuids_that_tell_lanes_and_processes_apart() -> None:
    one, other = (Stamper(ManualClock(), random.Random(seed)) for seed in (1, 2))
    lows = {one.live_low, other.live_low, one.delayed_low(), one.delayed_low()}
    assert len(lows) == 4
    for low in lows:
        message_id = make_id(1 << 57, low)
        assert id_from_hex(id_to_hex(message_id)) == message_id
        assert low[0] & 0xC0 == 0x80
        assert low[2] & 1
