"""A queue is told from a store that is slow by itself, and as many are let in as are answered soon."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from api.node_client import NodeClient
from api.pressure import FEW, STALE_S, STANDING_S, Pressure

QUICK_S = 0.003
SLOW_S = 0.15
"""What a conditional write across data centres may take."""
QUEUED_S = 0.08
MANY = 200


def noted(calls: Iterable[tuple[str, float]], *, per_s: float = 100, in_flight: int = MANY) -> Pressure:
    """Note calls, evenly spread over time."""
    pressure = Pressure()
    for number, (kind, took_s) in enumerate(calls):
        pressure.note(kind, took_s, number / per_s, in_flight=in_flight)
    return pressure


def test_calls_that_all_stand_in_a_queue_are_noticed() -> None:
    """Quick at first, then none of them; and a minute later still, though what is usual grows."""
    calls = [("publish", QUICK_S)] * 100 + [("publish", QUEUED_S)] * 6_000
    assert noted(calls[:150]).is_high(1.5, in_flight=MANY)
    assert noted(calls).is_high(61.0, in_flight=MANY)


def test_a_few_are_never_too_many() -> None:
    """However long they take."""
    pressure = noted([("publish", QUICK_S)] * 100 + [("publish", QUEUED_S)] * 100)
    assert pressure.is_high(2.0, in_flight=FEW)
    assert not pressure.is_high(2.0, in_flight=FEW - 1)


def test_one_quick_call_among_slow_ones_is_no_queue() -> None:
    """Somebody is served at once, so nothing stands in everybody's way."""
    calls = [("publish", QUICK_S)] * 100 + [("publish", QUEUED_S), ("publish", QUICK_S)] * 100
    assert not noted(calls).is_high(3.0, in_flight=MANY)


def test_a_store_that_is_always_slow_is_no_queue() -> None:
    """What a kind of call always takes is not held against it, nor against another kind."""
    assert not noted([("publish", SLOW_S)] * 300).is_high(3.0, in_flight=MANY)
    assert not noted([("read", QUICK_S)] * 100 + [("publish", SLOW_S)] * 300).is_high(4.0, in_flight=MANY)


def test_what_is_long_ago_says_nothing() -> None:
    """Nobody is refused for what was before."""
    pressure = noted([("publish", QUICK_S)] * 100 + [("publish", QUEUED_S)] * 100)
    assert pressure.is_high(2.0, in_flight=MANY)
    assert not pressure.is_high(2.0 + STALE_S, in_flight=MANY)
    pressure.note("publish", QUICK_S, 10.0, in_flight=MANY)
    assert not pressure.is_high(10.0, in_flight=MANY)


@pytest.mark.parametrize("asking", [40, 128, 1_000])
def test_as_many_are_let_in_as_wait_no_longer_than_they_may(asking: int) -> None:
    """By Little's law: with 5,000 calls a second some 65 under way wait 13 ms; fewer callers are all let in."""
    per_s, now_s, under_way = 5_000, 0.0, 10
    pressure = Pressure()
    waited_s: list[float] = []
    for _ in range(20_000):
        now_s += 1 / per_s
        took_s = max(QUICK_S, under_way / per_s)
        waited_s.append(took_s)
        pressure.note("publish", took_s, now_s, in_flight=under_way)
        under_way -= 1
        for _ in range(2 if now_s < 0.1 else asking):
            if under_way >= asking or pressure.is_high(now_s, in_flight=under_way):
                break
            under_way += 1
    settled_s = sorted(waited_s[10_000:])
    assert settled_s[len(settled_s) // 2] <= min(asking / per_s, 1.3 * (QUICK_S + STANDING_S))
    assert settled_s[0] >= min(asking / per_s, (FEW - 1) / per_s) * 0.95


def test_a_process_that_has_called_nothing_yet_refuses_nothing() -> None:
    """Its first request is looked at before anything is begun."""
    assert not NodeClient(["tcp://127.0.0.1:5570"]).is_crowded()
