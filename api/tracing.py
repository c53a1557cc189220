"""A span around every HTTP request; wrapped around the application only where tracing is on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from api.routes.front import note, traceparent
from common.tracing import Span, Tracer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class TracingDoor:
    """Wraps the application; the request's own trace context becomes the span's, for the log and for the node."""

    def __init__(self, application: WSGIApplication, tracer: Tracer) -> None:
        self._application = application
        self._tracer = tracer

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request; its span ends when the answer's head is ready."""
        method = str(environ["REQUEST_METHOD"])
        span = self._tracer.begin(method, traceparent=traceparent(environ.get("HTTP_TRACEPARENT", "")))
        environ["HTTP_TRACEPARENT"] = span.traceparent

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
        ) -> Callable[[bytes], object]:
            _end(span, method, int(status[:3]))
            return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

        return self._application(environ, start)


def _end(span: Span, method: str, status: int) -> None:
    noted = note()
    span.end_http(
        name=f"{method} {noted.route}",
        status=status,
        attributes={
            "http.request.method": method,
            "queuey.request_id": noted.request_id,
            "queuey.application": noted.application,
            "queuey.queue": noted.queue,
            "queuey.code": noted.code,
        },
    )
