"""Pages of other origins: those that the application lists may call everything, all others nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.routes.table import ROUTES, Route
from tests.support.configuration import configure
from tests.support.deployment import Api, Deployment
from tests.support.http_calls import new_queue, post

PAGE = "https://app.example.org"
STRANGER = "https://evil.example.org"
CALLS = [route for route in ROUTES if route.path.startswith("/v1/")]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An application that lists one origin."""
    directory: Path = tmp_path_factory.mktemp("origins")
    made = Deployment(directory, guarantees={"web": "exactly_once", "closed": "at_least_once"})
    with configure(made, "applications.web", f'origins = ["{PAGE}"]') as deployment, deployment.api("web") as api:
        yield api


def path_of(route: Route) -> str:
    names = {"<application>": "web", "<queue:queue>": "news", "<ids:ids>": "0" * 32, "<group>": "g", "<receipt>": "r"}
    path = route.path
    for part, value in names.items():
        path = path.replace(part, value)
    return path


@pytest.mark.parametrize("route", CALLS, ids=[route.name for route in CALLS])
def test_every_call_has_a_preflight(web: Api, route: Route) -> None:
    """Without a key, as browsers ask; and none for strangers."""
    asked = {
        "Access-Control-Request-Method": route.method,
        "Access-Control-Request-Headers": "authorization,x-attr-a",
    }
    reply = web.options(path_of(route), headers={"Authorization": "", "Origin": PAGE, **asked})
    assert (reply.status_code, reply.content) == (204, b"")
    assert reply.headers["Access-Control-Allow-Origin"] == PAGE
    assert reply.headers["Vary"] == "Origin"
    assert route.method in reply.headers["Access-Control-Allow-Methods"].split(", ")
    assert {"authorization", "x-attr-a"} <= set(reply.headers["Access-Control-Allow-Headers"].split(", "))
    stranger = web.options(path_of(route), headers={"Authorization": "", "Origin": STRANGER, **asked})
    assert not [name for name in stranger.headers if name.startswith("Access-Control")]


def test_answers_and_refusals_may_be_read_by_the_page(web: Api) -> None:
    """Also 401, 404 and 405, with the request's id."""
    queue = new_queue(web)
    post(web, queue, "hello")
    page = {"Origin": PAGE}
    replies = [
        (200, web.get(queue, headers=page)),
        (401, web.get(queue, headers={**page, "Authorization": "Application wrong"})),
        (404, web.get("missing", headers=page)),
        (405, web.patch(queue, headers=page)),
        (400, web.post(f"{queue}/acks", data="[", headers=page)),
    ]
    for status, reply in replies:
        assert reply.status_code == status
        assert reply.headers["Access-Control-Allow-Origin"] == PAGE
        assert "X-Request-Id" in reply.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in reply.headers


def test_a_strangers_page_may_read_nothing(web: Api) -> None:
    """Neither an answer nor a refusal; caches are told that the answer depends on the origin."""
    queue = new_queue(web)
    for reply in (web.get(queue, headers={"Origin": STRANGER}), web.get("/v1/closed", headers={"Origin": PAGE})):
        assert reply.headers["Vary"] == "Origin"
        assert not [name for name in reply.headers if name.startswith("Access-Control")]
