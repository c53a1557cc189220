"""Values -> Flask responses: the only place where a body, a status and headers meet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec
from flask import Response

from api.responses.shapes import ErrorAnswer, Ok
from api.responses.statuses import RETRY_AFTER_S_DEFAULT, status_of
from common.protocol.failures import Code, Failure, Retry

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

JSON: Final = "application/json; charset=utf-8"
"""With a charset, as v1: clients of its time guess where there is none, and read a lone accented letter wrongly."""
ENCODER: Final = msgspec.json.Encoder()
ACCESS_DENIED_TEXT: Final = "Access was denied to this resource."
"""Contains the words that v1's clients look for."""

_OK: Final = ENCODER.encode(Ok())


class JsonResponse(Response):
    """A JSON body that is ready, whose headers need no second look before they are sent."""

    def __init__(self, body: bytes, status: int) -> None:
        """``status`` is one whose answers have a body."""
        super().__init__(body, status, content_type=JSON)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Send it; that a ``HEAD`` has no body, and all else, Flask's own class knows."""
        if environ["REQUEST_METHOD"] == "HEAD":
            return super().__call__(environ, start_response)
        start_response(self.status, list(self.headers))
        return (self.data,)


def json_answer(answer: msgspec.Struct, status: int = 200) -> Response:
    """Return an answer as JSON."""
    return JsonResponse(ENCODER.encode(answer), status)


def done_answer() -> Response:
    """Return the answer that says nothing but ``ok``."""
    return JsonResponse(_OK, 200)


def bytes_answer(body: bytes, content_type: str) -> Response:
    """Return bytes that are ready."""
    return Response(body, 200, content_type=content_type)


def stream_answer(chunks: Iterable[bytes], content_type: str) -> Response:
    """Return an answer that is sent as it is made."""
    return Response(chunks, 200, content_type=content_type)


def failure_answer(failure: Failure) -> Response:
    """Return a refusal under its status, with ``Retry-After`` where waiting helps."""
    response = json_answer(error_of(failure), status_of(failure.code))
    if failure.retry in {Retry.LATER, Retry.UNKNOWN_OUTCOME} and failure.code is not Code.INTERNAL:
        response.headers["Retry-After"] = str(retry_after_s(failure.retry_after_ms))
    return response


def refusal_answer(status: int, error: ErrorAnswer, *, retry_after_ms: int | None = None) -> Response:
    """Return a refusal that has no ``Failure``, such as one of authentication."""
    response = json_answer(error, status)
    if retry_after_ms is not None:
        response.headers["Retry-After"] = str(retry_after_s(retry_after_ms))
    return response


def error_of(failure: Failure) -> ErrorAnswer:
    """Return a failure's body."""
    text = failure.text
    if failure.code is Code.ACCESS_DENIED and "Access was denied" not in text:
        text = ACCESS_DENIED_TEXT
    return ErrorAnswer(error_msg={failure.field: text, **failure.more}, code=failure.code, retry=failure.retry)


def retry_after_s(retry_after_ms: int) -> int:
    """Return whole seconds for ``Retry-After``, rounded up, at least one."""
    return -(-retry_after_ms // 1000) or RETRY_AFTER_S_DEFAULT
