"""Claims and what follows them, under each guarantee."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.deployment import Api, Deployment
from tests.support.http_calls import bodies, claim, log_kind, new_queue, post, post_batch, read, refusal, settle
from tests.support.service import wait_until


@pytest.fixture(params=["queuey", "careful"])
def leasing(service: Deployment, request: pytest.FixtureRequest) -> Iterator[Api]:
    """An application whose claims are leases."""
    with service.api(request.param) as session:
        yield session


def receipts(claims: list[dict[str, object]]) -> list[object]:
    """Return the receipts of claimed messages."""
    return [message["receipt"] for message in claims]


def outcomes(results: list[dict[str, object]]) -> list[object]:
    """Return the outcomes of a settlement."""
    return [result["outcome"] for result in results]


def test_a_claim_hands_out_all_that_is_known_of_a_message(leasing: Api) -> None:
    """With receipt and lease."""
    queue = new_queue(leasing, partitions=3)
    stored = post(leasing, queue, b"\xff", X_Attr_A="b", Content_Type="x/y")
    (message,) = claim(leasing, queue, lease=5)
    until = float(str(message.pop("lease_until")))
    assert 3 < until - time.time() < 6
    receipt = str(message.pop("receipt"))
    assert len(receipt) <= 200
    assert message == {
        "message_id": stored["key"],
        "timestamp": stored["timestamp"],
        "partition": stored["partition"],
        "body": "/w==",
        "encoding": "base64",
        "content_type": "x/y",
        "attributes": {"a": "b"},
        "deliveries": 1,
    }
    assert claim(leasing, queue) == []


def test_an_ack_settles_and_may_be_repeated(leasing: Api) -> None:
    """``acked`` however often it is asked for."""
    queue = new_queue(leasing)
    post(leasing, queue)
    (receipt,) = receipts(claim(leasing, queue))
    assert leasing.get(f"{queue}/acks/{receipt}").json()["outcome"] == "leased"
    for _ in range(2):
        assert settle(leasing, queue, "acks", [receipt]) == [{"receipt": receipt, "outcome": "acked"}]
    asked = leasing.get(f"{queue}/acks/{receipt}").json()
    assert (asked["status"], asked["receipt"], asked["outcome"]) == ("ok", receipt, "acked")
    assert settle(leasing, queue, "acks", []) == []


def test_a_released_message_comes_again_at_once_or_later(leasing: Api) -> None:
    """With the next delivery's number."""
    queue = new_queue(leasing)
    post(leasing, queue)
    assert outcomes(settle(leasing, queue, "releases", receipts(claim(leasing, queue)))) == ["released"]
    again = claim(leasing, queue)
    assert [message["deliveries"] for message in again] == [2]
    begun_s = time.monotonic()
    assert outcomes(settle(leasing, queue, "releases", receipts(again), delay=0.4)) == ["released"]
    assert claim(leasing, queue) == []
    assert len(claim(leasing, queue, wait=10)) == 1
    assert time.monotonic() - begun_s >= 0.35


def test_an_extension_gives_a_new_receipt(leasing: Api) -> None:
    """And a later end."""
    queue = new_queue(leasing)
    post(leasing, queue)
    (message,) = claim(leasing, queue, lease=2)
    (result,) = settle(leasing, queue, "extensions", [message["receipt"]], lease=60)
    assert result["outcome"] == "extended"
    assert result["receipt"] != message["receipt"]
    assert float(str(result["lease_until"])) > float(str(message["lease_until"])) + 50
    assert outcomes(settle(leasing, queue, "acks", [result["receipt"]])) == ["acked"]


def test_an_ack_and_the_next_claim_are_one_call(leasing: Api) -> None:
    """A worker's loop is one request per message."""
    queue = new_queue(leasing)
    post_batch(leasing, queue, *[{"body": str(number)} for number in range(3)])
    (first,) = claim(leasing, queue, limit=1)
    reply = leasing.post(f"{queue}/claims", json={"limit": 1, "ack": [first["receipt"]]}).json()
    assert reply["acked"] == [{"receipt": first["receipt"], "outcome": "acked"}]
    assert bodies(reply["claims"]) == ["1"]


def test_the_same_claim_id_finds_the_same_messages(service: Deployment) -> None:
    """A claim whose reply was lost is repeated."""
    with service.api("careful") as api:
        queue = new_queue(api)
        post_batch(api, queue, *[{"body": str(number)} for number in range(4)])
        first = claim(api, queue, limit=2, claim_id="c1")
        assert claim(api, queue, limit=2, claim_id="c1") == first
        assert bodies(claim(api, queue, limit=2, claim_id="c2")) == ["2", "3"]


def test_groups_are_independent_and_rewound(leasing: Api) -> None:
    """Each has its own position; a settled message can be claimed again after a seek."""
    queue = new_queue(leasing)
    stored = post_batch(leasing, queue, *[{"body": str(number)} for number in range(3)])
    assert bodies(claim(leasing, queue, group="a", limit=2)) == ["0", "1"]
    settled = claim(leasing, queue, group="b")
    settle(leasing, queue, "acks", receipts(settled))
    groups = {entry["group"]: entry for entry in leasing.get(f"{queue}/groups").json()["groups"]}
    assert (groups["a"]["in_flight"], groups["a"]["backlog"]) == (2, 1)
    assert (groups["b"]["in_flight"], groups["b"]["backlog"], groups["b"]["oldest"]) == (0, 0, None)
    assert groups["a"]["oldest"] == stored[0]["timestamp"]
    assert leasing.put(f"{queue}/groups/b", json={"position": stored[1]["key"]}).json() == {"status": "ok"}
    assert bodies(claim(leasing, queue, group="b")) == ["1", "2"]
    assert outcomes(settle(leasing, queue, "acks", receipts(settled)[1:2])) == ["lease_lost"]
    end = ["0", "1", "2"] if log_kind(leasing, queue) == "plain" else []  # plain: what is older than the late window
    far = "9" * 30
    for position, expected in (("start", ["0", "1", "2"]), ("end", end), (stored[2]["timestamp"], ["2"]), (far, [])):
        assert leasing.put(f"{queue}/groups/c", json={"position": position}).status_code == 200
        assert bodies(claim(leasing, queue, group="c")) == expected


def test_a_waiting_claim_is_woken_by_the_publish(leasing: Api, service: Deployment) -> None:
    """Long before its time is over."""
    queue = new_queue(leasing)
    found: list[dict[str, object]] = []
    begun_s = time.monotonic()
    waiting = threading.Thread(target=lambda: found.extend(claim(leasing, queue, wait=25)))
    waiting.start()
    with service.api(queue_owner(leasing)) as publisher:
        post(publisher, queue, "wake")
    waiting.join(20)
    assert bodies(found) == ["wake"]
    assert time.monotonic() - begun_s < 15


def queue_owner(api: Api) -> str:
    """Return the application that a client asks."""
    return api.url("").split("/")[4]


def test_a_message_that_fails_too_often_goes_to_the_dead_letter_queue_and_back(leasing: Api) -> None:
    """With its source and the reason as attributes."""
    dead = new_queue(leasing)
    queue = new_queue(leasing, max_deliveries=2, dead_letter_queue=dead)
    stored = post(leasing, queue, "poison")
    for _ in range(2):
        settle(leasing, queue, "releases", receipts(claim(leasing, queue)))
    assert claim(leasing, queue) == []
    wait_until(lambda: read(leasing, dead), within_s=10, what="dead letter")
    (letter,) = read(leasing, dead)
    assert letter["body"] == "poison"
    attributes = letter["attributes"]
    assert isinstance(attributes, dict)
    assert (attributes["source_queue"], attributes["source_id"]) == (queue, stored["key"])
    assert attributes["deliveries"] == "2"
    assert attributes["reason"]
    assert leasing.post(f"{dead}/redrive").json() == {"status": "ok", "redriven": 1, "remaining": 0}
    assert bodies(claim(leasing, queue)) == ["poison"]


def test_a_redrive_leaves_what_is_no_dead_letter(leasing: Api) -> None:
    """It moves and counts nothing, and consumers still get what was published."""
    queue = new_queue(leasing)
    post(leasing, queue, "mine")
    assert leasing.post(f"{queue}/redrive").json() == {"status": "ok", "redriven": 0, "remaining": 0}
    assert bodies(claim(leasing, queue)) == ["mine"]


def test_at_most_once_hands_out_without_a_lease(service: Deployment) -> None:
    """Nothing to settle, nothing to lose twice."""
    with service.api("careless") as api:
        queue = new_queue(api)
        post(api, queue)
        (message,) = claim(api, queue)
        assert (message["receipt"], message["lease_until"], message["deliveries"]) == (None, None, 1)
        assert claim(api, queue) == []
        for call in ("acks", "releases", "extensions"):
            reply = api.post(f"{queue}/{call}", json={"receipts": ["anything"]})
            assert refusal(reply, 409, "not_leased")
        assert refusal(api.post(f"{queue}/claims", json={"ack": ["x"]}), 409, "not_leased")


def test_strict_ordering_hands_out_one_after_the_other(leasing: Api) -> None:
    """A released message blocks its partition until it is settled."""
    queue = new_queue(leasing, ordering="strict")
    post_batch(leasing, queue, *[{"body": str(number)} for number in range(2)])
    first = claim(leasing, queue, limit=1)
    assert bodies(first) == ["0"]
    assert claim(leasing, queue) == []
    settle(leasing, queue, "releases", receipts(first))
    first = claim(leasing, queue, limit=1)
    assert bodies(first) == ["0"]
    settle(leasing, queue, "acks", receipts(first))
    assert bodies(claim(leasing, queue)) == ["1"]


@pytest.mark.parametrize(
    ("call", "fields", "wrong"),
    [
        ("claims", {"limit": 0, "wait": 61, "lease": 0.5, "partitions": [201], "group": "_x"}, None),
        ("acks", {}, {"receipts"}),
        ("acks", {"receipts": "x"}, {"receipts"}),
        ("releases", {"receipts": [], "delay": -1}, {"delay"}),
        ("extensions", {"receipts": [1], "lease": 1e9}, {"receipts", "lease"}),
        ("redrive", {"limit": 0}, {"limit"}),
    ],
)
def test_every_wrong_field_of_a_delivery_call_is_named(
    api: Api, call: str, fields: dict[str, object], wrong: set[str] | None
) -> None:
    """At once."""
    reply = api.post(f"{new_queue(api)}/{call}", json=fields)
    assert set(refusal(reply, 400, "invalid_request")) == (wrong or set(fields))


@pytest.mark.parametrize("body", ["[]", "5", '"x"', "null", "{", "\xff"])
def test_a_body_that_is_no_object_is_refused(api: Api, body: str) -> None:
    """An empty one is ``{}``."""
    queue = new_queue(api)
    assert refusal(api.post(f"{queue}/claims", data=body.encode("latin-1")), 400, "invalid_parameter")
    assert api.post(f"{queue}/claims", data=b"").status_code == 200
