"""A cursor leads back to where it was made, within its bound; anything else is refused by name."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.cursor import RAW_BYTES_MAX, BadCursorError, Place, decode_cursor, encode_cursor
from common.identifiers import TICKS_MAX, MessageId

IDS = st.builds(
    lambda ticks, low: MessageId(ticks.to_bytes(8, "big") + low),
    st.integers(0, TICKS_MAX),
    st.one_of(st.just(bytes(8)), st.just(b"\xff" * 8), st.binary(min_size=8, max_size=8)),
)
PLACES = st.dictionaries(
    st.integers(1, 200), st.tuples(IDS, IDS).map(lambda pair: Place(min(pair), max(pair))), min_size=1
)


@given(PLACES, st.booleans())
def test_a_cursor_reads_back_as_it_was_written(places: dict[int, Place], descending: bool) -> None:
    cursor = decode_cursor(encode_cursor(places, descending=descending))
    assert list(cursor.places) == list(places)
    assert cursor.places == places or len(places) > 50
    assert cursor.descending is descending


@given(st.lists(IDS, min_size=200, max_size=200), st.booleans())
def test_two_hundred_partitions_fit_and_a_rough_place_only_repeats(ids: list[MessageId], descending: bool) -> None:
    places = {number: Place(place, place) for number, place in enumerate(ids, 1)}
    data = encode_cursor(places, descending=descending)
    assert len(data) <= RAW_BYTES_MAX
    for number, place in decode_cursor(data).places.items():
        exact = places[number].resume
        assert place.resume >= exact if descending else place.resume <= exact
        assert place.resume[:8] == exact[:8]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_cursor_or_refused_by_name(data: bytes) -> None:
    try:
        assert decode_cursor(data).places
    except BadCursorError:
        return
