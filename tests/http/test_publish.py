"""Publishing beyond v1: delays, partition keys, idempotency keys, attributes, encodings."""

from __future__ import annotations

import base64
import time

from tests.support.deployment import Api, Deployment
from tests.support.http_calls import bodies, new_queue, post, post_batch, read, refusal


def test_attributes_come_back_with_the_message(api: Api) -> None:
    """From headers, lower-case, and from JSON."""
    queue = new_queue(api)
    post(api, queue, "raw", X_Attr_Colour="blue", X_Attr_Shop_Name="Grüße".encode().decode("latin-1"))
    post_batch(api, queue, {"body": "json", "attributes": {"source_queue": "q"}, "content_type": "text/x"})
    first, second = read(api, queue)
    assert first["attributes"] == {"colour": "blue", "shop-name": "Grüße"}
    assert second["attributes"] == {"source_queue": "q"}
    assert second["content_type"] == "text/x"


def test_attributes_are_bounded(api: Api) -> None:
    """32 of them, a KiB each."""
    queue = new_queue(api)
    for attributes in ({f"a{number}": "" for number in range(33)}, {"a": "x" * 1025}, {"A": "x"}, {"": "x"}):
        reply = api.post(queue, json={"messages": [{"body": "x", "attributes": attributes}]})
        (field,) = refusal(reply, 400, "invalid_request")
        assert field.startswith("0.attributes")


def test_base64_bodies_are_stored_as_their_bytes(api: Api) -> None:
    """And come back as text where they are text."""
    queue = new_queue(api)
    items = [{"body": base64.b64encode(body).decode(), "encoding": "base64"} for body in (b"text", b"\xff\x00")]
    post_batch(api, queue, *items)
    first, second = read(api, queue)
    assert (first["body"], first.get("encoding")) == ("text", None)
    assert (second["body"], second["encoding"]) == (items[1]["body"], "base64")


def test_a_delayed_message_appears_when_it_is_due(api: Api) -> None:
    """Its id has the due time; by id it can be reached before."""
    queue = new_queue(api)
    sent_s = time.time()
    stored = post(api, queue, "later", X_Delay="0.8")
    assert float(str(stored["timestamp"])) >= sent_s + 0.79
    assert read(api, queue) == []
    assert bodies(api.get(f"{queue}/{stored['key']}").json()["messages"]) == ["later"]
    end_s = time.monotonic() + 10
    while not read(api, queue):
        assert time.monotonic() < end_s
    assert time.time() >= sent_s + 0.79


def test_the_same_partition_key_names_the_same_partition(api: Api) -> None:
    """Also after the queue has grown."""
    queue = new_queue(api, partitions=7)
    first = {post(api, queue, X_Partition_Key="ann")["partition"] for _ in range(3)}
    assert len(first) == 1
    api.put(queue, data={"partitions": 50})
    (again,) = post_batch(api, queue, {"body": "x", "partition_key": "ann"})
    assert {again["partition"]} == first
    assert len({post(api, queue, X_Partition_Key=str(number))["partition"] for number in range(40)}) > 3


def test_the_same_idempotency_key_gives_the_same_id(api: Api) -> None:
    """Stored once, also after the queue has grown; another body is a conflict."""
    queue = new_queue(api, partitions=3)
    first = post(api, queue, "pay", Idempotency_Key="order-1")
    api.put(queue, data={"partitions": 20})
    assert post(api, queue, "pay", Idempotency_Key="order-1") == first
    reply = api.post(queue, data="pay twice", headers={"Idempotency-Key": "order-1"})
    assert refusal(reply, 422, "idempotency_conflict")
    assert bodies(read(api, queue, partitions=",".join(map(str, range(1, 21))))) == ["pay"]


def test_a_batch_under_one_key_numbers_its_items(api: Api) -> None:
    """``<key>/<i>``, unless an item has its own."""
    queue = new_queue(api)
    items = {"messages": [{"body": "a"}, {"body": "b", "idempotency_key": "own"}]}
    first = api.post(queue, json=items, headers={"Idempotency-Key": "k"}).json()["messages"]
    assert api.post(queue, json=items, headers={"Idempotency-Key": "k"}).json()["messages"] == first
    assert post(api, queue, "b", Idempotency_Key="own")["key"] == first[1]["key"]


def test_a_batch_that_is_not_stored_as_a_whole_tells_what_became_of_each(api: Api) -> None:
    """The worst status, and per item where it is or why not."""
    queue = new_queue(api)
    post(api, queue, "first", Idempotency_Key="k")
    items = [{"body": "fine"}, {"body": "other", "idempotency_key": "k"}]
    reply = api.post(queue, json={"messages": items})
    assert set(refusal(reply, 422, "idempotency_conflict")) == {"1"}
    good, bad = reply.json()["messages"]
    assert set(good) == {"key", "timestamp", "partition"}
    assert bad == {"code": "idempotency_conflict", "retry": "no"}
    assert bodies(read(api, queue)) == ["first", "fine"]


def test_messages_without_partition_or_key_go_together(api: Api) -> None:
    """To one partition for the whole batch."""
    queue = new_queue(api, partitions=50)
    stored = post_batch(api, queue, *[{"body": str(number)} for number in range(20)])
    assert len({entry["partition"] for entry in stored}) == 1
    assert len({post(api, queue)["partition"] for _ in range(20)}) > 1


def test_every_reply_names_the_guarantee(service: Deployment) -> None:
    """The application's."""
    for application, guarantee in service.guarantees.items():
        with service.api(application) as api:
            queue = new_queue(api)
            assert api.post(queue, data="x").json()["guarantee"] == guarantee
            assert api.get(queue).json()["guarantee"] == guarantee
            assert api.post(f"{queue}/claims").json()["guarantee"] == guarantee


def test_a_read_may_wait_for_a_message(service: Deployment, api: Api) -> None:
    """It ends with the publish, or when the time is over."""
    queue = new_queue(api)
    begun_s = time.monotonic()
    assert read(api, queue, wait="0.3") == []
    assert 0.25 < time.monotonic() - begun_s < 3
    post(api, queue, "there")
    assert bodies(read(api, queue, wait="30")) == ["there"]
