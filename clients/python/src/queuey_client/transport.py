"""httpx, seen from the calls: requests out, answers or their absence back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import httpx

from queuey_client.calls import ANSWER_S, Call
from queuey_client.retrying import Answer, NoAnswer

Identity: TypeAlias = Callable[[], dict[str, str]]
"""Asked before each request for the header that says who calls."""


def identity_of(
    *,
    key: str | None,
    token: str | Callable[[], str] | None,
    assertion: Callable[[], str] | None,
    link: str | None,
) -> Identity:
    """Return the one identity given; none for public queues."""
    if key is not None:
        return lambda: {"Authorization": f"Application {key}"}
    if token is not None:
        return lambda: {"Authorization": f"Bearer {token() if callable(token) else token}"}
    if assertion is not None:
        return lambda: {"Authorization": f"BrowserID {assertion()}"}
    return lambda: {} if link is None else {"Authorization": f"Link {link}"}


def request_of(client: httpx.Client | httpx.AsyncClient, call: Call[Any], identity: Identity) -> httpx.Request:
    """Build the request of a call."""
    return client.build_request(
        call.method,
        call.path,
        params=dict(call.query),
        json=call.json,
        headers=identity(),
        timeout=httpx.Timeout(ANSWER_S + call.wait_s, connect=5.0),
    )


def answer_of(response: httpx.Response) -> Answer:
    """Return what matters of a response that was read to its end."""
    text = response.headers.get("Retry-After", "")
    return Answer(response.status_code, response.content, float(text) if text.isdigit() else 0.0)


def no_answer(error: httpx.TransportError) -> NoAnswer:
    """Say whether the request can have arrived."""
    sent = not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
    return NoAnswer(str(error) or type(error).__name__, sent)
