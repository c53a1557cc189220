"""The schedule: a function of the seed that has every kind of fault, in lanes that never overlap with themselves."""

from __future__ import annotations

import pytest

from tests.fault.nemesis import CLOCK_S_MAX, SCALES, SERVICES, STORES, Fault, Kind, Lane, schedule

LONG_S = 1_800.0
SHORT_S = 60.0


def everything(seed: int, seconds: float) -> list[Fault]:
    return [fault for faults in schedule(seed, seconds).values() for fault in faults]


def test_a_seed_gives_the_same_faults_again_and_another_gives_others() -> None:
    """Otherwise no run could be made again."""
    assert schedule(1, LONG_S) == schedule(1, LONG_S)
    assert schedule(1, LONG_S) != schedule(2, LONG_S)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_long_run_has_every_kind_and_more_than_two_hundred(seed: int) -> None:
    """What the long runs are to show."""
    faults = everything(seed, LONG_S)
    assert {fault.kind for fault in faults} == set(Kind)
    assert len(faults) >= 200


def test_a_short_run_has_something_of_every_lane() -> None:
    """Ten faults at least."""
    lanes = schedule(1, SHORT_S)
    assert all(lanes[lane] for lane in Lane)
    assert sum(map(len, lanes.values())) >= 10


@pytest.mark.parametrize("seed", range(20))
def test_the_faults_of_a_lane_wait_for_each_other_and_end_in_time(seed: int) -> None:
    """Each begins after the one before it has ended."""
    for faults in schedule(seed, LONG_S).values():
        end_s = 0.0
        for fault in faults:
            assert fault.at_s >= end_s
            end_s = fault.at_s + fault.for_s
        assert end_s <= LONG_S


@pytest.mark.parametrize("seed", range(20))
def test_faults_name_what_exists_and_keep_their_bounds(seed: int) -> None:
    """Pauses of 1 to 60 s, clocks by 2 s at most."""
    for fault in everything(seed, LONG_S):
        names = {name for target in fault.targets for name in target.split(">")}
        assert names <= {*SERVICES, *STORES}
        if fault.kind is Kind.PAUSE:
            assert 1.0 <= fault.for_s <= 60.0
        if fault.kind is Kind.CLOCK:
            assert abs(fault.amount) <= CLOCK_S_MAX


def test_a_long_run_scales_more_than_once() -> None:
    """One, four, two storage nodes, and back to where it was."""
    assert SCALES == (1, 4, 2, 3)
    assert sum(fault.kind is Kind.SCALE for fault in everything(1, LONG_S)) > 1
