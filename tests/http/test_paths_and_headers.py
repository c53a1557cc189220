"""Paths, methods, and headers that every answer has."""

from __future__ import annotations

import json

import pytest
import requests

from tests.support.deployment import Api, Deployment
from tests.support.http_calls import new_queue, post, read, refusal


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_the_heartbeat_answers_every_method(service: Deployment, method: str) -> None:
    """Old clients send HEAD."""
    for path in ("/__heartbeat__", "/__heartbeat__/"):
        reply = requests.request(method, service.url + path, timeout=5)
        assert reply.status_code == 200
        assert reply.headers["Content-Type"].startswith("text/plain")
        assert reply.text == ("" if method == "HEAD" else "OK")


def test_health_is_told_without_a_key(service: Deployment) -> None:
    """Live, ready, and the description of the interface."""
    assert requests.get(f"{service.url}/__live__", timeout=5).json() == {"status": "ok"}
    assert requests.get(f"{service.url}/__ready__", timeout=5).json() == {"status": "ok"}
    document = requests.get(f"{service.url}/openapi.json", timeout=5).json()
    assert document["openapi"] == "3.1.0"
    assert "/v1/{application}/{queue}/claims" in document["paths"]


def test_trailing_and_doubled_slashes_mean_nothing(service: Deployment, api: Api) -> None:
    """For every method, without a redirect."""
    queue = new_queue(api)
    root = f"{service.url}//v1/queuey/"
    assert api.get(f"//v1//queuey//{queue}/", allow_redirects=False).status_code == 200
    headers = {"Authorization": str(api.headers["Authorization"])}
    assert requests.post(root, headers=headers, timeout=5, allow_redirects=False).status_code == 201
    assert requests.get(root, headers=headers, timeout=5, allow_redirects=False).status_code == 200
    assert requests.post(f"{root}{queue}/", data="x", headers=headers, timeout=5).status_code == 201
    assert len(read(api, f"{queue}//")) == 1


def test_a_path_may_be_percent_encoded(api: Api) -> None:
    """Decoded before it is looked at."""
    queue = "per:cent~1"
    assert api.post("", data={"queue_name": queue}).status_code == 201
    key = post(api, "per%3Acent%7E1")["key"]
    assert len(api.get(f"{queue}/1%3A{key}").json()["messages"]) == 1


def test_a_wrong_method_is_405_and_allow_names_the_right_ones(api: Api) -> None:
    """v1 said 404."""
    queue = new_queue(api)
    for method, path, allowed in (
        ("PATCH", queue, {"GET", "POST", "PUT", "DELETE"}),
        ("DELETE", "", {"GET", "POST"}),
        ("GET", f"{queue}/claims", {"POST"}),
        ("POST", f"{queue}/groups", {"GET"}),
        ("POST", "/__live__", {"GET"}),
        ("GET", "_links/revocations", {"POST"}),
    ):
        reply = api.request(method, path)
        assert refusal(reply, 405, "method_not_allowed")
        assert allowed <= set(reply.headers["Allow"].split(", "))


def test_every_answer_is_json_that_no_browser_keeps_or_guesses_at(api: Api) -> None:
    """Good ones and refusals alike."""
    queue = new_queue(api)
    for reply in (api.get(""), api.get(queue), api.get("missing"), api.patch(queue), api.post(queue)):
        assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
        assert reply.headers["X-Request-Id"]


def test_a_request_id_comes_back_and_stands_in_the_log(service: Deployment, api: Api) -> None:
    """A harmless one is taken over, any other replaced."""
    queue = new_queue(api)
    assert api.get(queue, headers={"X-Request-Id": "mine-1.2:3"}).headers["X-Request-Id"] == "mine-1.2:3"
    line = next(line for line in service.front.log(400).splitlines() if '"mine-1.2:3"' in line)
    shown = json.loads(line)
    assert (shown["route"], shown["status"]) == ("read", 200)
    assert api.get(queue, headers={"X-Request-Id": "a b"}).headers["X-Request-Id"] != "a b"
