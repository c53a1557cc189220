"""Clients that send slowly, half, too much or nothing, straight to a front end: refused, and nobody else waits."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from common.limits import REQUEST_DEADLINE_MS
from tests.support.deployment import Deployment, deployed, key_of
from tests.support.service import wait_until
from tests.support.tools import skip_or_fail

IDLE: Final = 10_000
LATE_S_MAX: Final = REQUEST_DEADLINE_MS / 1000 + 8
"""Until a late body is given up."""


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("rude")) as made:
        for name in ("calm", "rude"):
            assert made.api().post("", data={"queue_name": name}).status_code == 201
        yield made


def head_of(length: int, *more: str) -> bytes:
    lines = [
        "POST /v1/queuey/rude HTTP/1.1",
        "Host: q",
        f"Authorization: Application {key_of('queuey')}",
        f"Content-Length: {length}",
        *more,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def assert_serves(deployment: Deployment) -> None:
    """Somebody else's call is answered as if nothing were."""
    begun_s = time.monotonic()
    with deployment.api() as api:
        assert api.post("calm", data=b"x").status_code == 201
    assert time.monotonic() - begun_s < 10


def answer_of(client: socket.socket) -> bytes:
    """Return all that comes until the end."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while some := client.recv(1 << 16):
            data += some
    return data


def stored(deployment: Deployment) -> list[str]:
    with deployment.api() as api:
        return [message["body"] for message in api.get("rude?limit=1000").json()["messages"]]


def test_bodies_that_come_too_slowly_are_given_up(deployment: Deployment) -> None:
    """A hundred senders, a byte a second each: refused after the time that a call has; nothing of them is stored."""

    def send_slowly(number: int) -> bytes:
        with socket.create_connection(("127.0.0.1", deployment.port), LATE_S_MAX) as client:
            client.sendall(head_of(1_000, f"X-Request-Id: slow-{number}"))
            for _ in range(int(LATE_S_MAX)):
                try:
                    client.sendall(b"x")
                except OSError:
                    break
                client.settimeout(1)
                with contextlib.suppress(TimeoutError):
                    return client.recv(1 << 16)
            return b""

    with ThreadPoolExecutor(100) as senders:
        answers = [senders.submit(send_slowly, number) for number in range(100)]
        assert_serves(deployment)
        heads = {answer.result()[:12] for answer in answers}
    assert heads == {b"HTTP/1.1 400"}
    assert stored(deployment) == []
    assert '"slow-99"' in deployment.front.log(10_000)


def test_half_a_body_is_not_stored(deployment: Deployment) -> None:
    """It is refused where its sender still listens, and never taken for the whole."""
    with socket.create_connection(("127.0.0.1", deployment.port), 20) as client:
        client.sendall(head_of(100) + b"half")
        client.shutdown(socket.SHUT_WR)
        answer = answer_of(client)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"ends before its Content-Length" in answer
    with socket.create_connection(("127.0.0.1", deployment.port), 20) as client:
        client.sendall(head_of(100) + b"gone")
    assert_serves(deployment)
    assert stored(deployment) == []


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"X: " + b"x" * 100_000, 431),
        (b"\r\n".join(b"X-%d: x" % number for number in range(500)), 431),
        (b"no colon", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
        (b"X: \x00", 400),
    ],
)
def test_heads_beyond_bounds_are_refused(deployment: Deployment, lines: bytes, status: int) -> None:
    """By the status that HTTP has for it, with a line in the log."""
    before = len(deployment.front.log(100_000))
    with socket.create_connection(("127.0.0.1", deployment.port), 20) as client:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            client.sendall(b"GET /__live__ HTTP/1.1\r\nHost: q\r\n" + lines + b"\r\n\r\n")
        answer = answer_of(client)
    assert answer.startswith(b"HTTP/1.1 %d" % status), answer[:200]
    wait_until(
        lambda: "What came was no request" in deployment.front.log(100_000)[before:],
        within_s=5,
        what="a line in the log",
    )
    assert_serves(deployment)


def test_a_line_that_is_too_long_is_refused(deployment: Deployment) -> None:
    """As are methods and versions that are none."""
    for request, status in ((b"GET /" + b"x" * 20_000 + b" HTTP/1.1", 414), (b"\x16\x03\x01", 400), (b"GET /", 400)):
        with socket.create_connection(("127.0.0.1", deployment.port), 20) as client:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                client.sendall(request + b"\r\n\r\n")
            assert answer_of(client).startswith(b"HTTP/1.1 %d" % status)
    assert_serves(deployment)


def test_ten_thousand_idle_connections_keep_nobody_out(deployment: Deployment) -> None:
    """One worker takes most of them, lets each go after a few seconds, and serves on meanwhile and afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < IDLE + 500:
        skip_or_fail(f"only {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        begun = 0
        for _ in range(IDLE):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            begun += client.connect_ex(("127.0.0.1", deployment.port)) in {0, 115}
        assert begun == IDLE
        assert_serves(deployment)
        assert_serves(deployment)
