"""v1: create, list, change and drop queues."""

from __future__ import annotations

import time
import uuid

import pytest

from tests.support.deployment import Api
from tests.support.http_calls import bodies, new_queue, post, read, refusal


def listed(api: Api, queue: str, **query: str) -> dict[str, object]:
    """Return a queue's entry of the list."""
    reply = api.get("", params={"details": "true", "offset": queue, "limit": "1", **query})
    assert reply.status_code == 200, reply.text
    (entry,) = reply.json()["queues"]
    assert entry["queue_name"] == queue
    return dict(entry)


def test_a_bare_create_makes_a_queue_with_a_random_name_and_defaults(api: Api, log: str) -> None:
    """201 with everything that can be known of it."""
    reply = api.post("")
    assert reply.status_code == 201
    content = reply.json()
    assert uuid.UUID(hex=content["queue_name"])
    assert content | {"queue_name": "", "created": 0} == {
        "status": "ok",
        "queue_name": "",
        "application": "queuey",
        "partitions": 1,
        "type": "user",
        "consistency": "strong",
        "created": 0,
        "principles": None,
        "guarantee": "at_least_once",
        "log": log,
        "ttl": 259_200,
        "delay": 0,
        "lease": 30,
        "max_deliveries": 0,
        "dead_letter_queue": "",
        "ordering": "none",
        "max_in_flight": 1_000,
    }


@pytest.mark.parametrize("kind", ["form", "multipart", "json"])
def test_a_queue_is_made_from_a_form_of_either_kind_or_json(api: Api, kind: str) -> None:
    """Forms as v1 takes them; JSON was ignored there."""
    name = f"made-{uuid.uuid4().hex[:8]}"
    fields: dict[str, str | int] = {"queue_name": name, "partitions": 7, "type": "public", "principles": "app:queuey"}
    if kind == "form":
        reply = api.post("", data=fields)
    elif kind == "multipart":
        reply = api.post("", files={key: (None, str(value)) for key, value in fields.items()})
    else:
        reply = api.post("", json=fields)
    assert reply.status_code == 201, reply.text
    content = reply.json()
    assert {key: content[key] for key in fields} == fields


def test_creating_an_existing_queue_changes_only_what_was_sent(api: Api) -> None:
    """Not an error; partitions and messages are never lost."""
    queue = new_queue(api, partitions=3, principles="app:queuey", type="public")
    post(api, queue, "kept", X_Partition="3")
    reply = api.post("", data={"queue_name": queue, "partitions": "1", "consistency": "weak"})
    assert reply.status_code == 201
    content = reply.json()
    assert content["partitions"] == 3
    assert (content["type"], content["consistency"], content["principles"]) == ("public", "weak", "app:queuey")
    assert bodies(read(api, queue, partitions="1,2,3")) == ["kept"]


def test_names_are_checked_at_creation(api: Api) -> None:
    """v1 made queues that could never be reached."""
    for name in ("_x", "a/b", "x" * 51, ".", ".."):
        assert set(refusal(api.post("", data={"queue_name": name}), 400, "invalid_request")) == {"queue_name"}


def test_wrong_fields_are_all_named(api: Api) -> None:
    """Each with its limit."""
    form = {"partitions": "-1", "type": "x", "consistency": "x", "principles": "apple:oranges", "ttl": "0"}
    wrong = refusal(api.post("", data=form), 400, "invalid_request")
    assert set(wrong) == set(form)
    assert wrong["partitions"] == "-1 is less than minimum value 1"


def test_a_list_without_a_limit_names_every_queue(api: Api) -> None:
    """Old clients rely on it; the order is stable and paging inclusive."""
    made = {new_queue(api) for _ in range(5)}
    reply = api.get("")
    assert reply.json()["status"] == "ok"
    names = [entry["queue_name"] for entry in reply.json()["queues"]]
    assert made <= set(names)
    assert all(set(entry) == {"queue_name"} for entry in reply.json()["queues"])
    page = api.get("", params={"offset": names[2], "limit": 2}).json()["queues"]
    assert [entry["queue_name"] for entry in page] == names[2:4]


def test_details_and_counts_are_given_when_asked_for(api: Api) -> None:
    """``principles`` only where set; ``created`` is a number."""
    queue = new_queue(api, partitions=2)
    post(api, queue, X_Partition="1")
    post(api, queue, X_Partition="2")
    entry = listed(api, queue)
    assert {
        "application": "queuey",
        "partitions": 2,
        "type": "user",
        "consistency": "strong",
    }.items() <= entry.items()
    assert isinstance(entry["created"], float)
    assert abs(entry["created"] - time.time()) < 60
    assert "principles" not in entry
    assert "count" not in entry
    assert listed(api, queue, include_count="True")["count"] == 2
    assert "count" not in listed(api, queue, include_count="False")


def test_a_change_leaves_what_is_not_sent(api: Api) -> None:
    """v1 reset type and consistency; principals come as a list here."""
    queue = new_queue(api, type="public", consistency="very_strong", principles="app:queuey")
    content = api.put(queue, data={"partitions": 2}).json()
    assert content["partitions"] == 2
    assert (content["type"], content["consistency"]) == ("public", "very_strong")
    assert content["principles"] == ["app:queuey"]
    content = api.put(queue, data={"principles": "app:queuey,app:notifications"}).json()
    assert content["principles"] == ["app:queuey", "app:notifications"]
    assert listed(api, queue)["principles"] == "app:queuey,app:notifications"


def test_partitions_never_shrink(api: Api) -> None:
    """400 with v1's key."""
    queue = new_queue(api, partitions=2)
    assert set(refusal(api.put(queue, data={"partitions": 1}), 400, "invalid_update")) == {"InvalidUpdate"}
    assert api.put(queue, data={"partitions": 2}).status_code == 200
    assert set(refusal(api.put(queue, data={"partitions": 201}), 400, "invalid_request")) == {"partitions"}


def test_a_dropped_queue_is_gone_at_once_and_a_new_one_is_empty(api: Api) -> None:
    """Old messages never come back."""
    queue = new_queue(api, partitions=3)
    post(api, queue, X_Partition="3")
    assert api.delete(queue).json() == {"status": "ok"}
    assert set(refusal(api.get(queue), 404, "queue_not_found")) == {"InvalidQueueName"}
    assert refusal(api.delete(queue), 404, "queue_not_found")
    assert api.post("", data={"queue_name": queue, "partitions": 3}).status_code == 201
    assert read(api, queue, partitions="1,2,3") == []


def test_a_purge_empties_a_queue_and_keeps_its_settings(api: Api) -> None:
    """As one call."""
    queue = new_queue(api, partitions=2, lease=5)
    post(api, queue, X_Partition="2")
    assert api.post(f"{queue}/purge").json() == {"status": "ok"}
    assert read(api, queue, partitions="1,2") == []
    settings = api.get(f"{queue}/settings").json()
    assert (settings["partitions"], settings["lease"]) == (2, 5)


def test_options_of_a_queue_can_be_set_and_shown(api: Api) -> None:
    """Durations in seconds, with decimals where they have some."""
    options = {"ttl": 3600, "delay": 0.25, "lease": 12.5, "max_deliveries": 3, "max_in_flight": 50}
    dead = new_queue(api)
    queue = new_queue(api, **options, dead_letter_queue=dead)
    shown = api.get(f"{queue}/settings").json()
    assert {name: shown[name] for name in options} == options
    assert shown["dead_letter_queue"] == dead
    assert api.put(queue, json={"dead_letter_queue": "", "delay": 0}).json()["dead_letter_queue"] == ""
