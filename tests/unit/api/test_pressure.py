"""A queue is told from a store that is slow by itself."""

from __future__ import annotations

from collections.abc import Iterable

from api.pressure import STALE_S, Pressure

QUICK_S = 0.003
SLOW_S = 0.15
"""What a conditional write across data centres may take."""
QUEUED_S = 0.08


def noted(calls: Iterable[tuple[str, float]], *, per_s: float = 100, pressure: Pressure | None = None) -> Pressure:
    """Note calls, evenly spread over time."""
    pressure = pressure or Pressure()
    for number, (kind, took_s) in enumerate(calls):
        pressure.note(kind, took_s, number / per_s)
    return pressure


def test_calls_that_all_stand_in_a_queue_are_noticed() -> None:
    """Quick at first, then none of them; and a minute later still, though what is usual grows."""
    calls = [("publish", QUICK_S)] * 100 + [("publish", QUEUED_S)] * 6_000
    assert noted(calls[:150]).is_high(1.5)
    assert noted(calls).is_high(61.0)


def test_one_quick_call_among_slow_ones_is_no_queue() -> None:
    """Somebody is served at once, so nothing stands in everybody's way."""
    calls = [("publish", QUICK_S)] * 100 + [("publish", QUEUED_S), ("publish", QUICK_S)] * 100
    assert not noted(calls).is_high(3.0)


def test_a_store_that_is_always_slow_is_no_queue() -> None:
    """What a kind of call always takes is not held against it, nor against another kind."""
    assert not noted([("publish", SLOW_S)] * 300).is_high(3.0)
    assert not noted([("read", QUICK_S)] * 100 + [("publish", SLOW_S)] * 300).is_high(4.0)


def test_what_is_long_ago_says_nothing() -> None:
    """Nobody is refused for what was before."""
    pressure = noted([("publish", QUICK_S)] * 100 + [("publish", QUEUED_S)] * 100)
    assert pressure.is_high(2.0)
    assert not pressure.is_high(2.0 + STALE_S)
