"""The console page and the browser's client, as files."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from tests.support.configuration import configure
from tests.support.deployment import Api, Deployment

PAGES = ("/console", "/console/console.css", "/console/console.js", "/examples", "/examples/examples.js")
CLIENT = ("/queuey.js", "/queuey.d.ts")


@pytest.mark.parametrize("path", [*PAGES, *CLIENT])
def test_files_are_kept_by_caches_and_asked_for_again(anonymous: Api, path: str) -> None:
    """By their ETag; what is unchanged is not sent again."""
    first = anonymous.get(path)
    assert first.status_code == 200
    assert first.headers["Cache-Control"] == "no-cache"
    assert first.headers["X-Content-Type-Options"] == "nosniff"
    again = anonymous.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert anonymous.get(path, headers={"If-None-Match": '"other"', "Range": "bytes=0-1"}).content == first.content


def test_the_console_may_run_nothing_but_its_own_script(anonymous: Api) -> None:
    """Whatever a message holds; and no page may frame it."""
    page = anonymous.get("/console/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in page.headers


def test_the_client_may_be_loaded_by_pages_of_any_origin(anonymous: Api) -> None:
    """As a module."""
    reply = anonymous.get("/queuey.js", headers={"Origin": "https://anywhere.example"})
    assert reply.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert reply.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Access-Control-Allow-Credentials" not in reply.headers


@pytest.mark.parametrize(
    "path",
    [
        "/console/../queuey.toml",
        "/console/%2e%2e/%2e%2e/app.py",
        "/console/..%2f..%2fapp.py",
        "/console/....//app.py",
        "/console/index.html%00",
        "/static/console/console.js",
    ],
)
def test_no_path_leads_to_another_file(service: Deployment, path: str) -> None:
    """Files have fixed paths; a request names none."""
    prepared = requests.Request("GET", service.url).prepare()
    prepared.url = service.url + path
    with requests.Session() as session:
        assert session.send(prepared, timeout=30).status_code == 404


def test_the_console_can_be_switched_off(tmp_path: Path) -> None:
    """Then nothing of it is there; the client is."""
    quiet = configure(Deployment(tmp_path), "api", "console = false")
    with quiet as deployment, deployment.anonymous() as anonymous:
        assert {anonymous.get(path).status_code for path in PAGES} == {404}
        assert anonymous.get("/queuey.js").status_code == 200
