"""Calls that most tests over HTTP make, and what they expect of a reply."""

from __future__ import annotations

from collections.abc import Mapping

import requests

from tests.support.deployment import Api


def new_queue(api: Api, **form: object) -> str:
    """Make a queue with a random name and return the name."""
    reply = api.post("", data=form)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["queue_name"])


def post(api: Api, queue: str, body: str | bytes = "Hello", **headers: str) -> dict[str, object]:
    """Publish one raw message and return what is said of it."""
    reply = api.post(queue, data=body, headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert reply.status_code == 201, reply.text
    (stored,) = reply.json()["messages"]
    return dict(stored)


def post_batch(api: Api, queue: str, *items: Mapping[str, object]) -> list[dict[str, object]]:
    """Publish a JSON batch and return what is said of each message."""
    reply = api.post(queue, json={"messages": list(items)})
    assert reply.status_code == 201, reply.text
    return list(reply.json()["messages"])


def read(api: Api, queue: str, **query: object) -> list[dict[str, object]]:
    """Read a queue and return the messages."""
    reply = api.get(queue, params={name: str(value) for name, value in query.items()})
    assert reply.status_code == 200, reply.text
    return list(reply.json()["messages"])


def log_kind(api: Api, queue: str) -> str:
    """Return ``fenced`` or ``plain``: in a plain log a reader meets again what is younger than the late window."""
    return str(api.get(f"{queue}/settings").json()["log"])


def bodies(messages: list[dict[str, object]]) -> list[object]:
    """Return the bodies."""
    return [message["body"] for message in messages]


def claim(api: Api, queue: str, **fields: object) -> list[dict[str, object]]:
    """Claim and return the messages."""
    reply = api.post(f"{queue}/claims", json=fields)
    assert reply.status_code == 200, reply.text
    return list(reply.json()["claims"])


def settle(api: Api, queue: str, call: str, receipts: list[object], **more: object) -> list[dict[str, object]]:
    """Ack, release or extend, and return the results."""
    reply = api.post(f"{queue}/{call}", json={"receipts": receipts, **more})
    assert reply.status_code == 200, reply.text
    return list(reply.json()["results"])


def refusal(reply: requests.Response, status: int, code: str) -> dict[str, str]:
    """Check that a reply is this refusal and return its ``error_msg``."""
    assert reply.status_code == status, reply.text
    content = reply.json()
    assert content["status"] == "error"
    assert content["code"] == code, content
    assert content["retry"] in {"no", "same", "later", "unknown_outcome"}
    return dict(content["error_msg"])
