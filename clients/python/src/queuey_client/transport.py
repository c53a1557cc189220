"""httpx, seen from the calls: requests out, answers or their absence back."""

from __future__ import annotations

from typing import Any

import httpx

from queuey_client.calls import ANSWER_S, Call
from queuey_client.retrying import Answer, NoAnswer


def authorization(*, key: str | None, token: str | None, link: str | None) -> dict[str, str]:
    """Return the header of the one identity given; none for public queues."""
    if key is not None:
        return {"Authorization": f"Application {key}"}
    if token is not None:
        return {"Authorization": f"Bearer {token}"}
    return {"Authorization": f"Link {link}"} if link is not None else {}


def request_of(client: httpx.Client | httpx.AsyncClient, call: Call[Any]) -> httpx.Request:
    """Build the request of a call."""
    timeout = httpx.Timeout(ANSWER_S + call.wait_s, connect=5.0)
    return client.build_request(call.method, call.path, params=dict(call.query), json=call.json, timeout=timeout)


def answer_of(response: httpx.Response) -> Answer:
    """Return what matters of a response that was read to its end."""
    text = response.headers.get("Retry-After", "")
    return Answer(response.status_code, response.content, float(text) if text.isdigit() else 0.0)


def no_answer(error: httpx.TransportError) -> NoAnswer:
    """Say whether the request can have arrived."""
    sent = not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
    return NoAnswer(str(error) or type(error).__name__, sent)
