"""Reads, claims, settlements, groups and streams: raw fields -> arguments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.validation.delivery import Claiming, Seeking, parse_claiming, parse_redrive, parse_seeking, parse_settling
from api.validation.links import parse_revocation
from api.validation.problems import BadValueError
from api.validation.queues import parse_listing, parse_new_queue, parse_queue_change
from api.validation.reads import (
    Reading,
    cursor_text,
    parse_cursor,
    parse_reading,
    parse_stream_cursors,
    parse_stream_queues,
    stream_cursors_text,
)
from common.identifiers import UUID_EPOCH_TICKS, first_id_at, id_to_hex, last_id_at
from common.limits import LINK_LIFETIME_S_MAX, REDRIVE_LIMIT_MAX, STREAM_QUEUES_MAX
from common.protocol.failures import FailureError
from tests.unit.api.test_values import JSON_VALUES

AT_10 = UUID_EPOCH_TICKS + 100_000_000
NAMES = (
    "limit lease wait group partitions claim_id ack receipts delay position since after until cursor order "
    "queue_name type ttl principles dead_letter_queue ordering max_in_flight log link_id epoch expires offset"
)
FIELDS = st.dictionaries(st.sampled_from(NAMES.split()), JSON_VALUES)


def wrong_fields(call: object, *arguments: object) -> dict[str, str]:
    """Return the refused fields and their texts."""
    assert callable(call)
    with pytest.raises(FailureError) as caught:
        call(*arguments)
    failure = caught.value.failure
    return {failure.field: failure.text, **failure.more}


def test_a_read_without_fields_is_the_first_hundred_of_partition_one() -> None:
    """v1's defaults."""
    assert parse_reading({"limit": "", "order": "", "since": ""}) == Reading((1,), limit=100)


def test_a_time_is_inclusive_whichever_way_the_read_goes() -> None:
    """Ascending it begins with the first id of that instant, descending with the last."""
    up = parse_reading({"since": "10", "until": "10"})
    assert (up.since, up.until) == (first_id_at(AT_10), last_id_at(AT_10))
    down = parse_reading({"since": "10.0", "until": "10.", "order": "descending"})
    assert (down.since, down.until) == (last_id_at(AT_10), first_id_at(AT_10))
    assert parse_reading({"after": "10"}).after == last_id_at(AT_10)
    assert parse_reading({"after": "10", "order": "descending"}).after == first_id_at(AT_10)


def test_every_wrong_field_of_a_read_is_named() -> None:
    """Under the query's own names."""
    query = {"since": "x", "limit": "1001", "order": "up", "partitions": "1,fred", "wait": "61", "cursor": "?"}
    assert set(wrong_fields(parse_reading, query)) == set(query)


def test_partitions_are_read_in_the_order_asked_for_each_once() -> None:
    """Blanks, empty entries and numbers that no queue has mean nothing."""
    assert parse_reading({"partitions": "3, 1,,3,999"}).partitions == (3, 1)


def test_the_queues_of_a_stream_are_bounded() -> None:
    """Each once, in the order asked for."""
    assert parse_stream_queues("b,a,b") == ("b", "a")
    names = [f"q{number}" for number in range(STREAM_QUEUES_MAX)]
    assert parse_stream_queues(",".join(names)) == tuple(names)
    for more in ("a", "a,b", "a,?"):
        with pytest.raises(BadValueError, match=f"^more than {STREAM_QUEUES_MAX} queues$"):
            parse_stream_queues(",".join([*names, more]))


def test_all_partitions_are_asked_for_by_a_word() -> None:
    """By that alone; nothing asked for is partition 1, as in v1."""
    assert parse_reading({"partitions": "all"}).partitions == ()
    assert parse_reading({"partitions": ","}).partitions == (1,)
    assert parse_reading({}).partitions == (1,)
    assert set(wrong_fields(parse_reading, {"partitions": "1,all"})) == {"partitions"}


@given(st.binary(min_size=1, max_size=200))
def test_a_cursor_comes_back_as_it_went(cursor: bytes) -> None:
    """Opaque bytes, URL-safe text."""
    assert parse_cursor(cursor_text(cursor)) == cursor


@given(st.dictionaries(st.sampled_from(["a", "a_b", "x:~", "-.1"]), st.binary(min_size=1, max_size=50), min_size=1))
def test_the_position_of_a_stream_of_several_queues_comes_back_as_it_went(cursors: dict[str, bytes]) -> None:
    """One text for all queues."""
    assert parse_stream_cursors(stream_cursors_text(cursors)) == cursors


def test_a_stream_position_that_is_too_long_is_refused_at_once() -> None:
    """Rather than when the client comes back with it."""
    with pytest.raises(FailureError):
        stream_cursors_text({f"q{number}": bytes(1000) for number in range(5)})


def test_an_empty_claim_asks_for_all_defaults() -> None:
    """An empty body is ``{}``."""
    assert parse_claiming({}) == Claiming("default", 10, None, 0, (), None, ())


def test_every_wrong_field_of_a_claim_is_named() -> None:
    """With its limit."""
    fields = {"limit": 1001, "lease": 0.5, "wait": 61, "group": "_x", "partitions": [0], "ack": "x", "claim_id": 5}
    wrong = wrong_fields(parse_claiming, fields)
    assert set(wrong) == set(fields)
    assert wrong["limit"] == "1001 is greater than maximum value 1000"
    assert wrong["lease"] == "0.5 is less than minimum value 1"


def test_settling_needs_receipts() -> None:
    """An empty list is one."""
    assert wrong_fields(parse_settling, {}) == {"receipts": "Required"}
    assert parse_settling({"receipts": [], "delay": 1.5}) == ((), 1500, None)


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        ("start", Seeking("start")),
        ("end", Seeking("end")),
        ("10", Seeking("at", AT_10)),
        (10, Seeking("at", AT_10)),
        (id_to_hex(first_id_at(AT_10)), Seeking("at", AT_10)),
    ],
)
def test_a_group_is_moved_to_an_end_a_time_or_the_time_of_an_id(position: object, expected: Seeking) -> None:
    """Text or number."""
    assert parse_seeking("g", {"position": position}) == expected


def test_a_revocation_is_kept_no_longer_than_any_link_lives() -> None:
    """And as long where nothing else is said."""
    assert parse_revocation({"epoch": 3}, 1000) == (None, 3, 1000 + LINK_LIFETIME_S_MAX * 1000)
    assert parse_revocation({"link_id": "x", "expires": 5}, 1000).expires_ms == 5000
    assert wrong_fields(parse_revocation, {}, 0) == {"link_id": "Required, or epoch"}


def test_a_queue_keeps_what_is_not_sent() -> None:
    """An empty value counts as not sent, except the name of the dead-letter queue, which it takes away."""
    name, settings = parse_new_queue({"partitions": "", "principles": "", "dead_letter_queue": ""})
    assert name is None
    assert (settings.partitions, settings.principles) == (None, None)
    assert settings.dead_letter_queue == ""
    assert parse_queue_change({}).dead_letter_queue is None


def test_principals_are_kept_as_they_were_sent() -> None:
    """A form's text, or a list in JSON."""
    assert parse_queue_change({"principles": "app:a, bid:b@c.org"}).principles == "app:a, bid:b@c.org"
    assert parse_queue_change({"principles": ["app:a", "app:b"]}).principles == "app:a,app:b"
    assert set(wrong_fields(parse_queue_change, {"principles": "app:queuey,apple:oranges"})) == {"principles"}


def test_the_kind_of_log_is_fixed_when_a_queue_is_made() -> None:
    """It can't be changed later."""
    assert parse_new_queue({"log": "fenced"})[1].log == "fenced"
    assert set(wrong_fields(parse_queue_change, {"log": "fenced"})) == {"log"}


def test_counting_implies_details() -> None:
    """As v1 has it."""
    assert parse_listing({"include_count": "1"}) == (None, None, True, True)
    assert parse_listing({"include_count": "False", "limit": "1", "offset": "a"}) == (1, "a", False, False)


@given(FIELDS)
def test_any_fields_are_read_or_refused(fields: dict[str, object]) -> None:
    """Nothing but ``FailureError`` comes out of any of them."""
    for parse in (parse_claiming, parse_settling, parse_redrive, parse_new_queue, parse_queue_change, parse_reading):
        try:
            parse(fields)
        except FailureError:
            continue
    try:
        parse_seeking("g", fields)
        parse_revocation(fields, 0)
    except FailureError:
        return


def test_a_redrive_names_a_number_that_the_link_can_carry() -> None:
    """More than the bound is refused, not packed."""
    assert parse_redrive({"limit": REDRIVE_LIMIT_MAX}) == REDRIVE_LIMIT_MAX
    with pytest.raises(FailureError) as refused:
        parse_redrive({"limit": 1 << 70})
    assert refused.value.failure.field == "limit"
