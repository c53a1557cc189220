"""The stored form of delivery state."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.identifiers import MessageId, make_id
from storage_node.delivery import moves
from storage_node.delivery.encoding import BadStateError, decode, encode
from storage_node.delivery.lifecycle import Stage
from storage_node.delivery.state import Entry, Run, State, place
from storage_node.store.interface import Lane
from tests.support.clock import START_TICKS

BYTES_MAX = 24 * 1024


def _leased(*, alone: bool, entries: int = 1_000) -> State:
    """Return leases of ten by claim, or each of a claim of its own with a label."""
    rng, state, ticks = random.Random(1), State(), START_TICKS
    for number in range(entries):
        ticks += rng.randrange(1, 10_000_000)
        if alone or number % 10 == 0:
            token, label = rng.randbytes(6), rng.randbytes(6) if alone else b""
            until = (START_TICKS // 10_000 + rng.randrange(30_000)) * 10_000
        moves.lease(state, Lane.LIVE, make_id(ticks, b"writer-1"), until=until, token=token, label=label)
    return state


def _value(state: State) -> object:
    return (
        state.epoch,
        [(part.position, sorted(part.entries.items()), sorted(part.runs)) for part in state.lanes],
    )


@pytest.mark.parametrize("alone", [False, True])
def test_a_thousand_leases_fit_into_24_kilobytes(*, alone: bool) -> None:
    """Also when each was claimed alone under a claim_id of its own."""
    state = _leased(alone=alone)
    data = encode(state)
    assert len(data) <= BYTES_MAX
    assert _value(decode(data)) == _value(state)


def test_leases_in_memory_only_are_left_out_until_their_count_matters() -> None:
    """A first delivery that is held is not stored; a second one is, for its number."""
    state = State()
    first, second = (make_id(START_TICKS + number, b"writer-1") for number in (1, 2))
    moves.lease(state, Lane.LIVE, first, until=START_TICKS, token=b"token1", held=True)
    moves.lease(state, Lane.LIVE, second, until=START_TICKS, token=b"token1", held=True)
    moves.lease(state, Lane.LIVE, second, until=START_TICKS, token=b"token2", held=True)
    assert list(decode(encode(state)).lanes[Lane.LIVE].entries) == [second]


@given(st.binary(max_size=300))
def test_any_bytes_are_a_state_or_one_named_error(data: bytes) -> None:
    """Nothing else is raised, and what was read can be written."""
    try:
        state = decode(data)
    except BadStateError:
        return
    assert _value(decode(encode(state))) == _value(state)


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_bent_state_is_a_state_or_one_named_error(at: int, byte: int) -> None:
    """One changed byte of a real state does no worse."""
    data = bytearray(encode(_leased(alone=True, entries=20)))
    data[at % len(data)] = byte
    try:
        decode(bytes(data))
    except BadStateError:
        return


def test_bytes_of_version_1_are_read_for_ever() -> None:
    """These bytes were written by the first version; a later one must read the same state."""
    state = State(epoch=3)
    state.lanes[0].position = make_id(5, b"\x03" * 8)
    place(state, Lane.LIVE, make_id(9, b"\x03" * 8), Entry(Stage.LEASED, 70_000, b"abcdef", 2, b"labels", kept=True))
    place(state, Lane.DELAYED, make_id(7, b"\x03" * 8), Entry(Stage.WAITING, 80_000, b"abcdef", 20))
    state.lanes[1].runs.append(Run(b"\x03" * 8, 4, 6))
    written = (
        "0103070103030303030303030000000000000005030303030303030300012800090161626364656" + "66c6162656c7300"
        "000000000000000000000000000000000100040201f1140007006162636465660" + "1"
    )
    assert encode(state).hex() == written
    assert _value(decode(bytes.fromhex(written))) == _value(state)


def test_the_position_of_another_id_is_kept_to_the_last_byte() -> None:
    """Positions are whole ids."""
    state = State()
    state.lanes[1].position = MessageId(bytes.fromhex("01f210b9b232da18fffffffffffffffe"))
    assert decode(encode(state)).lanes[1].position == state.lanes[1].position
