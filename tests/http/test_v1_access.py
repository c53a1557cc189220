"""v1: who is let in, and what everybody else is told."""

from __future__ import annotations

import requests

from tests.support.deployment import Api, Deployment
from tests.support.http_calls import bodies, new_queue, post, read, refusal


def test_an_unknown_key_is_401_even_on_a_public_queue(service: Deployment, api: Api) -> None:
    """With v1's key, and without anything that makes a browser ask."""
    queue = new_queue(api, type="public")
    with service.api(key="OOPS") as stranger:
        for path in ("", queue, "missing"):
            reply = stranger.get(path)
            assert set(refusal(reply, 401, "invalid_application_key")) == {"InvalidApplicationKey"}
            assert "WWW-Authenticate" not in reply.headers


def test_without_a_key_access_is_denied_whether_or_not_the_queue_exists(api: Api, anonymous: Api) -> None:
    """Authorization comes before existence."""
    queue = new_queue(api)
    for reply in (
        anonymous.post(""),
        anonymous.get(""),
        anonymous.get(queue),
        anonymous.get("missing"),
        anonymous.get("x" * 60),
        anonymous.post(queue, data="x"),
        anonymous.delete(queue),
        anonymous.post(f"{queue}/claims"),
    ):
        assert "Access was denied" in next(iter(refusal(reply, 403, "access_denied").values()))


def test_an_unknown_application_is_404(service: Deployment) -> None:
    """With any valid key, and without one."""
    for reply in (
        requests.get(f"{service.url}/v1/fredrick", timeout=5),
        service.api("queuey").get("/v1/fredrick"),
        requests.post(f"{service.url}/blah", timeout=5),
        requests.get(f"{service.url}/v1/queuey/a/b/c/d", timeout=5),
    ):
        assert refusal(reply, 404, "not_found")


def test_a_missing_or_impossible_queue_is_404_for_its_application(api: Api) -> None:
    """Also for names that no queue can have."""
    for name in ("missing", "blip" * 30, "_reserved", "a b"):
        for reply in (api.get(name), api.post(name, data="x"), api.delete(name)):
            assert set(refusal(reply, 404, "queue_not_found")) == {"InvalidQueueName"}


def test_a_public_queue_is_read_by_everyone_and_changed_by_its_application(api: Api, anonymous: Api) -> None:
    """Reading does not open deleting, writing or claiming."""
    queue = new_queue(api, type="public")
    key = post(api, queue)["key"]
    assert bodies(read(anonymous, queue)) == ["Hello"]
    assert anonymous.get(f"{queue}/{key}").status_code == 200
    for reply in (
        anonymous.delete(f"{queue}/{key}"),
        anonymous.post(queue, data="x"),
        anonymous.post(f"{queue}/claims"),
    ):
        assert refusal(reply, 403, "access_denied")


def test_listed_principals_replace_the_application_for_reading(api: Api, other: Api) -> None:
    """The application must list itself to keep reading; a listed one never writes."""
    queue = new_queue(api)
    post(api, queue)
    assert refusal(other.get(queue), 403, "access_denied")
    api.put(queue, data={"principles": "app:other"})
    assert bodies(read(other, queue)) == ["Hello"]
    assert refusal(api.get(queue), 403, "access_denied")
    post(api, queue, "more")
    assert refusal(other.post(queue, data="x"), 403, "access_denied")
    key = read(other, queue)[0]["message_id"]
    assert other.delete(f"{queue}/{key}").status_code == 200
    assert other.post(f"{queue}/claims").status_code == 200
    api.put(queue, data={"principles": "app:other,app:queuey"})
    assert bodies(read(api, queue)) == ["more"]


def test_several_credentials_may_be_sent_together(service: Deployment, api: Api) -> None:
    """Joined by semicolons; what is not recognised is ignored."""
    queue = new_queue(api, principles="app:queuey,app:other")
    own, theirs = str(api.headers["Authorization"]), str(service.api("other").headers["Authorization"])
    with Api(f"{service.url}/v1/queuey", f"{theirs}; Basic eA==;{own}") as both:
        post(both, queue)
        assert bodies(read(both, queue)) == ["Hello"]
