"""The shipped nginx configuration, in a real nginx before two front ends and one storage node."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import requests

from common.limits import REQUEST_BYTES_MAX
from tests.support.deployment import Api, Deployment, key_of
from tests.support.operations import nginx, second_front, start_front

BODY_TIMEOUT_S = 1


class Site(NamedTuple):
    """What runs."""

    url: str
    fronts: tuple[Deployment, Deployment]

    def api(self) -> Api:
        """Return a client that goes through nginx."""
        return Api(f"{self.url}/v1/queuey", f"Application {key_of('queuey')}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    first = Deployment(directory / "first")
    second = second_front(first, directory / "second")
    with first:
        try:
            start_front(second)
            changes = {"client_body_timeout 10s": f"client_body_timeout {BODY_TIMEOUT_S}s"}
            with nginx(directory / "nginx", (first.port, second.port), changes) as url:
                api = Site(url, (first, second)).api()
                assert api.post("", data={"queue_name": "q"}).status_code == 201
                yield Site(url, (first, second))
        finally:
            second.front.stop()


def test_calls_go_through(site: Site) -> None:
    """Publish, read, claim and refuse, each with the service's own headers."""
    api = site.api()
    published = api.post("q", data=b"through", headers={"X-Request-Id": "by-nginx"})
    assert (published.status_code, published.headers["X-Request-Id"]) == (201, "by-nginx")
    assert "through" in api.get("q?limit=1000").text
    assert api.post("q/claims", json={}).json()["claims"]
    assert api.get("missing").json()["code"] == "queue_not_found"


def test_events_are_not_held_back(site: Site) -> None:
    """A message published while a stream is open arrives at once."""
    api = site.api()
    api.post("", data={"queue_name": "events"})
    with api.get("events", headers={"Accept": "text/event-stream"}, stream=True) as stream:
        lines = stream.iter_lines(chunk_size=1)
        assert next(lines) == b"retry: 2000"
        begun_s = time.monotonic()
        assert site.api().post("events", data=b"live").status_code == 201
        assert any(b"live" in line for line in lines)
        assert time.monotonic() - begun_s < 5


def test_a_long_poll_waits(site: Site) -> None:
    """And ends with the message that it waited for."""
    api = site.api()
    api.post("", data={"queue_name": "polled"})
    found: list[str] = []
    poll = threading.Thread(target=lambda: found.append(site.api().get("polled?wait=20").text))
    poll.start()
    assert api.post("polled", data=b"at last").status_code == 201
    poll.join(20)
    assert "at last" in found[0]


def test_metrics_are_not_public(site: Site) -> None:
    """They have an address of their own."""
    assert requests.get(f"{site.url}/metrics", timeout=10).status_code == 404


def test_a_body_that_is_too_large_is_refused(site: Site) -> None:
    """By nginx, before a front end sees it."""
    with socket.create_connection(address_of(site.url), timeout=20) as client:
        head = f"POST /v1/queuey/q HTTP/1.1\r\nHost: q\r\nContent-Length: {REQUEST_BYTES_MAX + 1}\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(100).startswith(b"HTTP/1.1 413")


def test_a_client_that_sends_its_body_too_slowly_is_let_go(site: Site) -> None:
    """No front end waited for it."""
    before = site.fronts[0].front.log(10_000) + site.fronts[1].front.log(10_000)
    with socket.create_connection(address_of(site.url), timeout=20) as client:
        client.sendall(
            b"POST /v1/queuey/q HTTP/1.1\r\nHost: q\r\nX-Request-Id: slow-one\r\nContent-Length: 9\r\n\r\nx"
        )
        answer = client.recv(1_000)
        assert not answer or answer.startswith(b"HTTP/1.1 408")
    assert "slow-one" not in before + site.fronts[0].front.log(10_000) + site.fronts[1].front.log(10_000)


def address_of(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)
