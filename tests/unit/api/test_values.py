"""Single values of a request: what is read, what is refused, and with which words."""

from __future__ import annotations

import uuid
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.validation.problems import BadValueError
from api.validation.values import (
    id_or_none,
    int_between,
    is_name,
    ms_between,
    parse_flag,
    parse_instant,
    parse_int,
    seconds_text,
)
from common.identifiers import TICKS_PER_SECOND, UUID_EPOCH_TICKS, id_to_hex, ticks_of, ticks_to_seconds_text

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("fred", '"fred" is not a number'),
        ("4", "4 is greater than maximum value 1"),
        (0, "0 is less than minimum value 1"),
        (True, '"True" is not a number'),
        ("1.5", '"1.5" is not a number'),
        ("9" * 5000, f'"{"9" * 50}" is not a number'),
    ],
)
def test_a_number_that_is_refused_says_why_in_the_words_clients_know(value: object, text: str) -> None:
    """The texts are v1's."""
    with pytest.raises(BadValueError) as caught:
        int_between(1, 1)(value)
    assert str(caught.value) == text


@given(st.integers(min_value=-(10**30), max_value=10**30))
def test_a_whole_number_is_read_from_its_text_as_from_json(number: int) -> None:
    """A form and a JSON body mean the same."""
    assert parse_int(str(number)) == parse_int(number) == number


@given(st.integers(min_value=0, max_value=60_000))
def test_a_duration_of_up_to_three_decimals_is_exact(duration_ms: int) -> None:
    """No float comes in between."""
    text = f"{duration_ms // 1000}.{duration_ms % 1000:03d}"
    parse = ms_between(0, 60_000)
    assert parse(text) == duration_ms
    assert parse(float(text)) == duration_ms
    assert parse(seconds_text(duration_ms)) == duration_ms


@pytest.mark.parametrize(
    "value", ["-1", "1.2345", "", "1e3", "nan", "60.001", None, [], "1" * 60, float("inf"), True]
)
def test_what_is_no_duration_within_bounds_is_refused(value: object) -> None:
    """Negative, too precise, too long, or not a number at all."""
    with pytest.raises(BadValueError):
        ms_between(0, 60_000)(value)


@given(st.integers(min_value=UUID_EPOCH_TICKS, max_value=UUID_EPOCH_TICKS + 10**18))
def test_a_timestamp_comes_back_to_the_tick_it_was_made_from(ticks: int) -> None:
    """Seven decimals are kept without rounding."""
    assert parse_instant(ticks_to_seconds_text(ticks)) == ticks


@given(st.decimals(min_value=0, max_value=10**10, places=7))
def test_any_seconds_with_seven_decimals_are_exact(seconds: Decimal) -> None:
    """Decimal arithmetic is the oracle."""
    assert parse_instant(f"{seconds:f}") == UUID_EPOCH_TICKS + int(seconds * TICKS_PER_SECOND)


@given(st.integers(min_value=0, max_value=(1 << 60) - 1), st.integers(min_value=0, max_value=(1 << 62) - 1))
def test_an_id_is_read_with_or_without_dashes_in_any_case(ticks: int, low: int) -> None:
    """Python's own UUID is the oracle; 32 digits that are an id are never taken for a time."""
    made = uuid.UUID(
        fields=(
            ticks & 0xFFFFFFFF,
            ticks >> 32 & 0xFFFF,
            ticks >> 48 | 0x1000,
            low >> 56 | 0x80,
            low >> 48 & 255,
            low & (1 << 48) - 1,
        )
    )
    for text in (made.hex, str(made), made.hex.upper()):
        instant = parse_instant(text)
        assert isinstance(instant, bytes)
        assert id_to_hex(instant) == made.hex
        assert ticks_of(instant) == ticks


@given(JSON_VALUES)
def test_any_value_is_read_or_refused(value: object) -> None:
    """Nothing but ``BadValueError`` comes out of a parser."""
    for parse in (parse_int, parse_instant, int_between(0, 5), ms_between(0, 5)):
        try:
            parse(value)
        except BadValueError:
            continue


@pytest.mark.parametrize(
    ("text", "expected"), [("false", False), ("False", False), ("0", False), ("", True), ("no", True), ("1", True)]
)
def test_a_flag_is_false_only_for_two_texts(text: str, expected: bool) -> None:
    """As v1 has it: even ``no`` and the empty text are true."""
    assert parse_flag(text) is expected


@pytest.mark.parametrize("name", ["a", "a_b", "-", "~", ":", "..a", "1.2", "x" * 50])
def test_names_may_hold_letters_digits_and_a_few_signs(name: str) -> None:
    """The documented set is accepted."""
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "_a", ".", "..", "x" * 51, "a/b", "a b", "ä", "a\n", "a\x00"])
def test_other_names_are_refused(name: str) -> None:
    """Reserved, too long, or with a sign that is not in the set."""
    assert not is_name(name)


def test_a_random_uuid_is_no_id() -> None:
    """Only version 1 carries a time."""
    assert id_or_none(uuid.UUID(int=5, version=4).hex) is None
