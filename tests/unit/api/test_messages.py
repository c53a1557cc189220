"""Messages of a request: one or a batch, and lists of ids."""

from __future__ import annotations

import base64
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.validation.bodies import parse_json
from api.validation.messages import RawMessage, parse_batch, parse_ids, parse_ids_to_write, parse_raw_message
from common.identifiers import id_to_hex
from common.limits import BATCH_MESSAGES_MAX, IDS_PER_URL_MAX
from common.protocol.failures import Code, Failure, FailureError
from common.protocol.operations import NewMessage
from tests.unit.api.test_values import JSON_VALUES


def refusal(content: object, **more: str) -> Failure:
    """Return why a batch is refused."""
    with pytest.raises(FailureError) as caught:
        parse_batch(content, 1000, **more)
    return caught.value.failure


def texts(failure: Failure) -> dict[str, str]:
    """Return what ``error_msg`` will show."""
    return {failure.field: failure.text, **failure.more}


def test_every_wrong_field_of_a_batch_is_named_by_index_and_field() -> None:
    """One reply tells all."""
    items = [
        {"body": "good"},
        {"body": "", "partition": "fred", "ttl": 0},
        "text",
        {"body": "x", "delay": -1, "attributes": {"UP": "x", "a": 1}},
    ]
    assert texts(refusal({"messages": items})) == {
        "1.body": "Required",
        "1.partition": '"fred" is not a number',
        "1.ttl": "0 is less than minimum value 1",
        "2": "is not an object",
        "3.delay": '"-1" is not a number',
        "3.attributes.UP": "a name has 1 to 50 lower-case letters, digits and _ - .",
        "3.attributes.a": "is not a string",
    }


@pytest.mark.parametrize("content", [None, [], {}, {"messages": None}, {"messages": {}}, "messages"])
def test_what_holds_no_list_of_messages_is_an_invalid_parameter(content: object) -> None:
    """v1's key and code."""
    failure = refusal(content)
    assert (failure.code, failure.field) == (Code.INVALID_PARAMETER, "InvalidParameter")


@pytest.mark.parametrize("body", ["", None, 0, False, [], {}])
def test_an_empty_body_of_any_type_is_required(body: object) -> None:
    """As v1 has it."""
    assert texts(refusal({"messages": [{"body": body}]})) == {"0.body": "Required"}


def test_a_body_that_is_no_text_is_kept_as_json() -> None:
    """v1 kept Python's own form of it, which no client could read back."""
    (message,) = parse_batch({"messages": [{"body": {"a": [1, True, None]}}]}, 1000)
    assert message.body == b'{"a":[1,true,null]}'


def test_a_batch_holds_at_most_a_thousand_messages() -> None:
    """And may be empty."""
    assert parse_batch({"messages": []}, 1000) == ()
    assert len(parse_batch({"messages": [{"body": "x"}] * BATCH_MESSAGES_MAX}, 1000)) == BATCH_MESSAGES_MAX
    assert refusal({"messages": [{"body": "x"}] * (BATCH_MESSAGES_MAX + 1)}).code is Code.BODY_TOO_LARGE


def test_the_header_key_numbers_the_items_that_have_none_of_their_own() -> None:
    """Item i is ``<key>/<i>``."""
    items = [{"body": "a"}, {"body": "b", "idempotency_key": "own"}, {"body": "c", "ttl": 5}]
    batch = parse_batch({"messages": items}, 1000, idempotency_key="k")
    assert [message.idempotency_key for message in batch] == ["k/0", "own", "k/2"]


@given(st.binary(min_size=1, max_size=64))
def test_base64_bodies_are_the_bytes_they_stand_for(body: bytes) -> None:
    """Any bytes."""
    item = {"body": base64.b64encode(body).decode(), "encoding": "base64"}
    assert parse_batch({"messages": [item]}, 1000) == (NewMessage(body=body),)


def test_bodies_that_are_not_what_their_encoding_says_are_refused() -> None:
    """Strict base64, and no other encoding."""
    items = [{"body": "?", "encoding": "base64"}, {"body": "x", "encoding": "gzip"}]
    assert texts(refusal({"messages": items})) == {"0.body": "is not base64", "1.encoding": 'only "base64" is known'}


def test_a_raw_message_reports_fields_without_an_index() -> None:
    """The headers' fields under v1's names."""
    with pytest.raises(FailureError) as caught:
        parse_raw_message(RawMessage(b"", partition="fred", ttl="0"), 10)
    assert texts(caught.value.failure) == {
        "body": "Required",
        "partition": '"fred" is not a number',
        "ttl": "0 is less than minimum value 1",
    }


def test_a_body_over_the_limit_is_too_large() -> None:
    """The limit itself is not."""
    assert parse_raw_message(RawMessage(b"x" * 10), 10).body == b"x" * 10
    with pytest.raises(FailureError) as caught:
        parse_raw_message(RawMessage(b"x" * 11), 10)
    assert caught.value.failure.code is Code.BODY_TOO_LARGE


def test_ids_may_have_partitions_of_any_number_of_digits_anywhere() -> None:
    """v1 could not address partition 10 first in a list."""
    first, second = uuid.uuid1().hex, uuid.uuid1().hex
    ids = parse_ids(f"10:{first},{second.upper()},200:{first},10:{first}")
    assert [(partition, id_to_hex(message_id)) for partition, message_id in ids] == [
        (10, first),
        (1, second),
        (200, first),
    ]


@pytest.mark.parametrize("text", ["", "x", "2:asdf", "0:" + "a" * 32, "201:" + "a" * 32, "a" * 33, "1:,", "g" * 32])
def test_a_malformed_list_of_ids_is_refused(text: str) -> None:
    """With v1's key."""
    with pytest.raises(FailureError) as caught:
        parse_ids(text)
    assert (caught.value.failure.code, caught.value.failure.field) == (Code.INVALID_MESSAGE_ID, "InvalidMessageID")


def test_an_id_that_can_not_exist_is_not_found_but_can_not_be_written() -> None:
    """A random UUID has no time in it."""
    random = uuid.uuid4().hex
    assert parse_ids(random) == ()
    with pytest.raises(FailureError):
        parse_ids_to_write(random)


def test_a_list_has_at_most_a_hundred_ids() -> None:
    """More do not fit a URL anyway."""
    ids = [uuid.uuid1().hex for _ in range(IDS_PER_URL_MAX + 1)]
    assert len(parse_ids(",".join(ids[1:]))) == IDS_PER_URL_MAX
    with pytest.raises(FailureError):
        parse_ids(",".join(ids))


@given(JSON_VALUES | st.fixed_dictionaries({"messages": st.lists(JSON_VALUES)}))
def test_any_json_is_a_batch_or_refused(content: object) -> None:
    """Nothing but ``FailureError`` comes out."""
    try:
        parse_batch(parse_json(msgspec.json.encode(content)), 1000)
    except FailureError:
        return


@given(st.binary())
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    """Nothing but ``FailureError`` comes out."""
    try:
        parse_json(body)
    except FailureError:
        return


def test_json_that_is_nested_too_deeply_is_refused() -> None:
    """The decoder's stack is the bound."""
    with pytest.raises(FailureError):
        parse_json(b"[" * 100_000)
