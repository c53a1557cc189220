"""Requests that no client of ours would send: a documented status, never 500, and the service goes on."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.limits import BODY_BYTES_MAX, REQUEST_BYTES_MAX
from tests.support.deployment import Api, Deployment, key_of
from tests.support.http_calls import new_queue, read, refusal

DOCUMENTED = {200, 201, 400, 401, 403, 404, 405, 409, 413, 422, 429}


@pytest.fixture
def queue(api: Api) -> str:
    """An empty queue."""
    return new_queue(api)


def exchange(service: Deployment, request: bytes, *, end: bool = False) -> bytes:
    """Send raw bytes and return all that comes back; ``end`` closes our side first."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(request)
        if end:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
            if b"\r\n\r\n" in received and not end:
                break
        return received


def head(method: str, path: str, *lines: str) -> bytes:
    """Return the head of a request with the application's key."""
    authorization = f"Authorization: Application {key_of('queuey')}"
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", authorization, *lines, "", ""]).encode("latin-1")


def status_of(reply: bytes) -> int:
    """Return the status of a raw reply."""
    return int(reply.split(b" ", 2)[1])


def chunks(total: int) -> Iterator[bytes]:
    """Yield a body in pieces, without a length."""
    for _ in range(0, total, 65536):
        yield b"x" * 65536


def test_a_body_without_a_length_is_bounded_as_well(api: Api, queue: str) -> None:
    """Chunked: refused as soon as more has come."""
    assert api.post(queue, data=chunks(BODY_BYTES_MAX)).status_code == 201
    assert refusal(api.post(queue, data=chunks(BODY_BYTES_MAX + 65536)), 413, "body_too_large")
    assert len(read(api, queue)) == 1


def test_a_body_that_says_it_is_huge_is_refused_unread(service: Deployment, queue: str) -> None:
    """Before the first byte of it, and the connection ends."""
    reply = exchange(service, head("POST", f"/v1/queuey/{queue}", f"Content-Length: {REQUEST_BYTES_MAX * 1000}"))
    assert status_of(reply) == 413


def test_a_body_that_ends_early_is_not_published(service: Deployment, api: Api, queue: str) -> None:
    """Half a message is none."""
    path = f"/v1/queuey/{queue}"
    exchange(service, head("POST", path, "Content-Length: 10") + b"half", end=True)
    exchange(service, head("POST", path, "Transfer-Encoding: chunked") + b"4\r\nhalf\r\n", end=True)
    exchange(service, head("POST", path, "Transfer-Encoding: chunked") + b"zz\r\nhalf\r\n", end=True)
    assert read(api, queue) == []


def test_large_forms_and_delivery_bodies_are_refused(api: Api, queue: str) -> None:
    """Each call has its own bound."""
    large = "x" * (2 << 20)
    assert refusal(api.post("", data={"principles": large}), 413, "body_too_large")
    assert refusal(api.post("", files={"principles": (None, large)}), 413, "body_too_large")
    assert refusal(api.post(f"{queue}/claims", data=json.dumps({"group": large})), 413, "body_too_large")


def test_a_form_that_can_not_be_taken_apart_makes_no_queue(api: Api) -> None:
    """Its parts have no boundary: what was meant is not known."""
    reply = api.post("", data=b"queue_name=x", headers={"Content-Type": "multipart/form-data"})
    assert refusal(reply, 400, "invalid_parameter")


@pytest.mark.parametrize("path", ["%00", "%ff", "a%00b", "..", "%2e%2e", "%F0%9F%92%A9", "a%0d%0ab", "x" * 3000])
def test_strange_paths_are_not_found(api: Api, path: str) -> None:
    """NUL, broken UTF-8, dots, line ends, length."""
    reply = api.get(f"/v1/queuey/{path}")
    assert reply.status_code in {404, 400}, reply.text
    assert api.get(f"/v1/{path}/q").status_code in {404, 400}


def test_strange_queries_are_read_or_refused(api: Api, queue: str) -> None:
    """Broken escapes, repeated fields (the last counts), too many of them."""
    assert api.get(f"{queue}?limit=%ff").status_code == 400
    assert api.get(f"{queue}?limit=0&limit=5").status_code == 200
    assert api.get(f"{queue}?since=%00").status_code == 400
    assert api.get(f"{queue}?partitions={'1,' * 900}").status_code == 400
    assert refusal(api.get(f"{queue}?{'&'.join(f'a{number}=1' for number in range(101))}"), 400, "invalid_request")
    assert api.get(f"{queue}?limit={'9' * 5000}").status_code == 400


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-TTL", "1e9"),
        ("X-TTL", "٣"),
        ("X-Partition", "1,2"),
        ("X-Delay", "-0.1"),
        ("X-Delay", "NaN"),
        ("Idempotency-Key", "x" * 201),
        ("X-Partition-Key", "x" * 201),
        ("Content-Type", "x" * 201),
        ("X-Attr-A", "x" * 1025),
    ],
)
def test_strange_headers_are_refused(api: Api, queue: str, name: str, value: str) -> None:
    """With the field they stand for."""
    reply = api.post(queue, data="x", headers={name: value.encode()})
    assert reply.status_code == 400
    assert read(api, queue) == []


def test_headers_that_are_not_utf8_are_refused(service: Deployment, queue: str) -> None:
    """Rather than stored as something else."""
    request = head("POST", f"/v1/queuey/{queue}", "Content-Length: 1", "X-Attr-A: \xff") + b"x"
    assert status_of(exchange(service, request)) == 400


@pytest.mark.parametrize(
    ("status", "request_line", "line"),
    [
        (400, "GET /v1/queuey/\xe9?link=secret-of-a-link HTTP/1.1", ""),
        (400, "GET /v1/queuey HTTP/1.1", "Authorization Application secret-of-a-link"),
        (400, "GET /v1/queuey HTTP/1.1", "Content-Length: -1"),
        (400, "get /v1/queuey HTTP/1.1", ""),
        (414, f"GET /{'x' * 9000} HTTP/1.1", ""),
        (417, "GET /v1/queuey HTTP/1.1", "Expect: nothing"),
        (431, "GET /v1/queuey HTTP/1.1", f"X-Long: {'x' * 20_000}"),
    ],
)
def test_what_is_no_request_is_refused_in_the_same_shape(
    service: Deployment, status: int, request_line: str, line: str
) -> None:
    """And nothing of it is logged: whoever mistyped a header's colon had a key behind it."""
    lines = [request_line, "Host: x", *([line] if line else []), "", ""]
    reply = exchange(service, "\r\n".join(lines).encode("latin-1"), end=True)
    assert status_of(reply) == status
    answer = json.loads(reply.partition(b"\r\n\r\n")[2])
    assert (answer["status"], answer["code"], answer["retry"]) == ("error", "invalid_request", "no")
    assert set(answer["error_msg"]) == {"request"}
    assert "no request" in service.front.log()
    assert "secret-of-a-link" not in service.front.log(1_000)


@pytest.mark.parametrize(
    "value", ["", "Application", "Application ", "application x", "Basic eA==", ";;;", "x" * 9000]
)
def test_a_header_without_a_credential_is_nobody(service: Deployment, queue: str, value: str) -> None:
    """403, or 401 where it tries to be one."""
    with Api(f"{service.url}/v1/queuey", value) as stranger:
        assert stranger.get(queue).status_code in {401, 403}


def test_a_key_that_begins_or_ends_with_any_letter_counts_whole(service: Deployment, queue: str) -> None:
    """v1 cut letters of the scheme's name off the key."""
    key = key_of("queuey")
    for wrong in (key[:-1], key[1:], key.strip("Aplicaton "), key + "n", key.upper()):
        with service.api(key=wrong) as stranger:
            assert stranger.get(queue).status_code == 401


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    call=st.sampled_from(["", "/claims", "/acks", "/releases", "/extensions", "/groups/g", "/redrive", "/settings"]),
    kind=st.sampled_from(["application/json", "application/x-www-form-urlencoded", "multipart/form-data", "x", ""]),
    body=st.binary(max_size=200) | st.from_type(dict).map(lambda value: json.dumps(value).encode()),
    query=st.text(alphabet="limitsnceordawp=&%09afF,:.", max_size=40),
)
def test_any_request_gets_a_documented_status(
    api: Api, queue: str, method: str, call: str, kind: str, body: bytes, query: str
) -> None:
    """Never 500, whatever is sent where."""
    path = f"{queue}{call}"
    if (method, call) == ("DELETE", ""):
        path = "missing"
    reply = api.request(method, f"{path}?{query}", data=body, headers={"Content-Type": kind})
    assert reply.status_code in DOCUMENTED, reply.text
