"""v1: publish, read, and messages by id."""

from __future__ import annotations

import base64
import json
import time
import uuid
from urllib.parse import quote_plus

import pytest

from tests.support.deployment import Api
from tests.support.http_calls import bodies, log_kind, new_queue, post, post_batch, read, refusal


def test_a_raw_body_is_one_message(api: Api) -> None:
    """201 with ``key``; read back as ``message_id``, with a text for a timestamp."""
    queue = new_queue(api)
    stored = post(api, queue, "Hello there!")
    assert set(stored) == {"key", "timestamp", "partition"}
    key = str(stored["key"])
    assert len(key) == 32
    assert uuid.UUID(hex=key).version == 1
    (message,) = read(api, queue)
    assert message["message_id"] == key
    assert message["body"] == "Hello there!"
    assert message["partition"] == stored["partition"] == 1
    assert isinstance(message["timestamp"], str)
    assert message["timestamp"] == stored["timestamp"]
    assert abs(float(str(message["timestamp"])) - time.time()) < 60


def test_a_batch_keeps_its_order_and_names_partitions(api: Api) -> None:
    """Reads are grouped by partition in the order asked for, not merged."""
    queue = new_queue(api, partitions=3)
    stored = post_batch(
        api,
        queue,
        {"body": "Hello msg 1", "partition": 2},
        {"body": "Hello msg 2", "partition": 2},
        {"body": "Hello msg 3", "partition": 1, "ttl": 3600},
    )
    assert [entry["partition"] for entry in stored] == [2, 2, 1]
    assert bodies(read(api, queue, partitions="1,2,3")) == ["Hello msg 3", "Hello msg 1", "Hello msg 2"]
    assert bodies(read(api, queue, partitions="2,1")) == ["Hello msg 1", "Hello msg 2", "Hello msg 3"]
    assert bodies(read(api, queue, partitions="all")) == ["Hello msg 3", "Hello msg 1", "Hello msg 2"]
    assert bodies(read(api, queue)) == ["Hello msg 3"]
    assert read(api, queue, partitions="9") == []


def test_an_empty_batch_is_accepted(api: Api) -> None:
    """As v1 does."""
    assert post_batch(api, new_queue(api)) == []


def test_a_json_content_type_may_have_parameters(api: Api) -> None:
    """Only its beginning counts."""
    queue = new_queue(api)
    content = json.dumps({"messages": [{"body": "x"}]})
    reply = api.post(queue, data=content, headers={"Content-Type": "application/json; charset=utf-8"})
    assert reply.status_code == 201


@pytest.mark.parametrize("body", [b"\x00\x01", b"\xff\xfe\x00", "Grüße \x00 ☃".encode(), b"x", bytes(range(256))])
def test_any_bytes_come_back_as_they_were_sent(api: Api, body: bytes) -> None:
    """Text as text, the rest in base64; the content type is kept."""
    queue = new_queue(api)
    post(api, queue, body, Content_Type="image/x-test")
    (message,) = read(api, queue)
    text = str(message["body"])
    assert (base64.b64decode(text) if message.get("encoding") == "base64" else text.encode()) == body
    assert message["content_type"] == "image/x-test"


def test_a_form_posted_to_a_queue_is_a_raw_message(api: Api) -> None:
    """Whatever the content type, unless it is JSON."""
    queue = new_queue(api)
    post(api, queue, "a=b", Content_Type="application/x-www-form-urlencoded")
    assert bodies(read(api, queue)) == ["a=b"]


def test_a_body_is_required(api: Api) -> None:
    """v1's text."""
    queue = new_queue(api)
    assert refusal(api.post(queue), 400, "invalid_request") == {"body": "Required"}
    reply = api.post(queue, json={"messages": [{"body": "x"}, {"body": ""}]})
    assert refusal(reply, 400, "invalid_request") == {"1.body": "Required"}


def test_partitions_that_a_queue_does_not_have_are_refused(api: Api) -> None:
    """v1's texts, under v1's keys; one bad item refuses all."""
    queue = new_queue(api)
    for sent, text in (("fred", '"fred" is not a number'), ("4", "4 is greater than maximum value 1")):
        reply = api.post(queue, data="x", headers={"X-Partition": sent})
        assert refusal(reply, 400, "invalid_request") == {"partition": text}
    reply = api.post(queue, json={"messages": [{"body": "1"}, {"body": "2", "partition": 4}]})
    assert refusal(reply, 400, "invalid_request") == {"1.partition": "4 is greater than maximum value 1"}
    assert read(api, queue) == []


def test_a_ttl_is_one_second_to_388_days(api: Api) -> None:
    """2^25 s is accepted, 0 is refused."""
    queue = new_queue(api)
    post(api, queue, X_TTL=str(2**25))
    for ttl in ("0", str(2**25 + 1), "-1", "x"):
        reply = api.post(queue, data="x", headers={"X-TTL": ttl})
        assert set(refusal(reply, 400, "invalid_request")) == {"ttl"}


def test_a_message_disappears_when_its_ttl_ends(api: Api) -> None:
    """From reads at once."""
    queue = new_queue(api)
    post(api, queue, "short", X_TTL="1")
    post(api, queue, "long")
    end_s = time.monotonic() + 5
    while bodies(read(api, queue)) != ["long"]:
        assert time.monotonic() < end_s


@pytest.mark.parametrize("content", ["[this isnt good}", "{}", "[]", '"x"', '{"messages": 5}', "\xff", "[" * 100_000])
def test_broken_json_is_an_invalid_parameter(api: Api, content: str) -> None:
    """400 with v1's key."""
    reply = api.post(new_queue(api), data=content.encode("latin-1"), headers={"Content-Type": "application/json"})
    assert set(refusal(reply, 400, "invalid_parameter")) == {"InvalidParameter"}


def test_since_is_inclusive_by_id_and_by_time(api: Api) -> None:
    """The message itself is returned again, to the last of seven decimals."""
    queue = new_queue(api)
    stored = [post(api, queue, str(number)) for number in range(5)]
    for key in ("key", "timestamp"):
        assert bodies(read(api, queue, since=stored[2][key])) == ["2", "3", "4"]
        assert bodies(read(api, queue, since=stored[2][key], order="descending")) == ["2", "1", "0"]
        assert bodies(read(api, queue, after=stored[2][key])) == ["3", "4"]
        assert bodies(read(api, queue, since=stored[1][key], until=stored[3][key])) == ["1", "2", "3"]


def test_the_limit_counts_per_partition(api: Api) -> None:
    """1 to 1000."""
    queue = new_queue(api, partitions=2)
    items = [{"body": f"{partition}.{number}", "partition": partition} for partition in (1, 2) for number in range(3)]
    post_batch(api, queue, *items)
    assert bodies(read(api, queue, partitions="1,2", limit=2)) == ["1.0", "1.1", "2.0", "2.1"]
    assert bodies(read(api, queue, partitions="2", limit=2, order="descending")) == ["2.2", "2.1"]
    for limit in ("0", "1001", "x"):
        assert set(refusal(api.get(queue, params={"limit": limit}), 400, "invalid_request")) == {"limit"}


@pytest.mark.parametrize(
    ("field", "value"),
    [("since", "yesterday"), ("since", "-5"), ("since", uuid.uuid4().hex), ("order", "up"), ("partitions", "1,fred")],
)
def test_bad_fields_of_a_read_are_named(api: Api, field: str, value: str) -> None:
    """Some of them ended as 500 in v1."""
    assert set(refusal(api.get(new_queue(api), params={field: value}), 400, "invalid_request")) == {field}


def test_a_reader_pages_by_cursor_and_misses_nothing(api: Api) -> None:
    """``next`` replaces ``since`` and ``partitions``."""
    queue = new_queue(api, partitions=2)
    post_batch(api, queue, *[{"body": str(number), "partition": 1 + number % 2} for number in range(10)])
    page = api.get(queue, params={"partitions": "1,2", "limit": "2"}).json()
    seen = bodies(page["messages"])
    while page["messages"]:
        page = api.get(queue, params={"cursor": str(page["next"]), "limit": "2"}).json()
        seen += bodies(page["messages"])
    assert sorted(map(str, set(seen))) == [str(number) for number in range(10)]
    assert len(seen) == 10 or log_kind(api, queue) == "plain"
    assert set(page["complete_until"]) == {"1", "2"}
    assert page["guarantee"] == "at_least_once"


def test_messages_are_read_by_id(api: Api) -> None:
    """Those that are there; none is 200 and an empty list."""
    queue = new_queue(api, partitions=20)
    stored = post_batch(api, queue, *[{"body": f"msg {number}", "partition": number} for number in (1, 2, 20)])
    names = [f"{entry['partition']}:{entry['key']}" for entry in stored]
    fake = f"3:{uuid.uuid1().hex}"
    for path, expected in (
        (fake, []),
        (str(stored[0]["key"]), ["msg 1"]),
        (quote_plus(names[0]), ["msg 1"]),
        (f"{names[2]},{fake}", ["msg 20"]),
        (",".join(names), ["msg 1", "msg 2", "msg 20"]),
        (uuid.uuid4().hex, []),
    ):
        reply = api.get(f"{queue}/{path}")
        assert reply.status_code == 200, reply.text
        assert sorted(bodies(reply.json()["messages"]), key=str) == sorted(expected)


@pytest.mark.parametrize("ids", ["2:asdfasdfasdfadsfasdf", "x", f"0:{'a' * 32}", ",", f"1:{'g' * 32}"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_malformed_list_of_ids_is_refused(api: Api, method: str, ids: str) -> None:
    """400 with v1's key, whatever the method."""
    reply = api.request(method, f"{new_queue(api)}/{ids}", data="x" if method == "PUT" else None)
    assert set(refusal(reply, 400, "invalid_message_id")) == {"InvalidMessageID"}


def test_messages_are_overwritten_by_id_and_made_where_missing(api: Api) -> None:
    """Their time and order stay; bookmarks of old workers rest on it."""
    queue = new_queue(api)
    stored = [post(api, queue, body) for body in ("Hello 1", "Hello 2")]
    ids = ",".join(f"1:{entry['key']}" for entry in stored)
    assert api.put(f"{queue}/{ids}", data="Bye", headers={"X-TTL": "600"}).json() == {"status": "ok"}
    messages = read(api, queue)
    assert bodies(messages) == ["Bye", "Bye"]
    assert [message["timestamp"] for message in messages] == [entry["timestamp"] for entry in stored]
    bookmark = uuid.uuid1().hex
    assert api.put(f"{queue}/1%3A{bookmark}", data='{"json": 1}').status_code == 200
    reply = api.get(f"{queue}/1%3A{bookmark}").json()
    assert bodies(reply["messages"]) == ['{"json": 1}']
    assert reply["messages"][0]["message_id"] == bookmark
    assert refusal(api.put(f"{queue}/{bookmark}"), 400, "invalid_request") == {"body": "Required"}
    assert set(refusal(api.put(f"{queue}/{uuid.uuid4().hex}", data="x"), 400, "invalid_message_id"))


def test_messages_are_deleted_by_id(api: Api) -> None:
    """200 whether or not they existed."""
    queue = new_queue(api, partitions=2)
    stored = post_batch(api, queue, *[{"body": str(number), "partition": 2} for number in range(3)])
    ids = quote_plus(",".join(f"2:{entry['key']}" for entry in stored[:2]))
    for _ in range(2):
        assert api.delete(f"{queue}/{ids}").json() == {"status": "ok"}
    assert bodies(read(api, queue, partitions="1,2")) == ["2"]
