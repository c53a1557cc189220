"""What surrounds every request, whatever answers it: its path's one form, its id, its headers, its log line.

A WSGI wrapper rather than hooks of the application, so that it costs little and holds for refusals, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Final

from api.routes.cross_origin import CrossOrigin, CrossOriginCall
from api.routes.front import FrontEnd, Note, begin, traceparent
from api.serial_ids import SerialIds
from common.clock import Clock
from common.limits import REQUEST_ID_CHARS_MAX
from common.logs import LineWriter
from common.metrics import CounterName, HistogramName, Meter

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
Write = Callable[[bytes], object]

_REQUEST_ID: Final = re.compile(rf"[A-Za-z0-9_.:\-]{{1,{REQUEST_ID_CHARS_MAX}}}", re.ASCII)
WAITING: Final = "_waiting"
"""Behind the name of an operation that was asked to wait: its time says nothing of how fast the service is."""


class Frame:
    """Wraps the application."""

    def __init__(
        self,
        application: WSGIApplication,
        clock: Clock,
        cross_origin: CrossOrigin,
        *,
        front: FrontEnd,
        meter: Meter,
        lines: LineWriter,
    ) -> None:
        self._application = application
        self._clock = clock
        self._cross_origin = cross_origin
        self._front = front
        self._meter = meter
        self._lines = lines

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request; its line is logged when the answer's head is ready."""
        begun_s = self._clock.monotonic_s()
        path = environ["PATH_INFO"]
        if path.endswith("/") or "//" in path:
            environ["PATH_INFO"] = one_form(path)
        call = CrossOriginCall.of(environ)
        note = Note(request_id(environ.get("HTTP_X_REQUEST_ID", ""), self._front.ids))
        begin(note)

        def start(status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None) -> Write:
            headers += note.headers
            headers += self._cross_origin.headers(call)
            headers.append(("X-Request-Id", note.request_id))
            elapsed_s = self._clock.monotonic_s() - begun_s
            self._log(environ, note, int(status[:3]), elapsed_s)
            self._measure(note, elapsed_s)
            return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

        preflight = self._cross_origin.preflight(call)
        if preflight is not None:
            note.route = "preflight"
            start("204 No Content", list(preflight))
            return ()
        return self._application(environ, start)

    def _log(self, environ: WSGIEnvironment, note: Note, status: int, elapsed_s: float) -> None:
        self._lines.write(
            event="request",
            request_id=note.request_id,
            traceparent=traceparent(environ.get("HTTP_TRACEPARENT", "")),
            method=environ["REQUEST_METHOD"],
            route=note.route,
            application=note.application,
            queue=note.queue,
            status=status,
            code=note.code,
            ms=round(elapsed_s * 1000, 2),
        )

    def _measure(self, note: Note, elapsed_s: float) -> None:
        application = note.application if note.application in self._front.settings.applications else ""
        operation = note.route + WAITING if note.waits else note.route
        self._meter.observe(HistogramName.HTTP, elapsed_s, application, operation)
        if note.code:
            self._meter.count(CounterName.HTTP_ERRORS, application, note.route, note.code)
        if note.body_bytes:
            self._meter.count(CounterName.HTTP_BYTES, application, by=note.body_bytes)
            self._front.rates.charge(application, note.body_bytes)


def one_form(path: str) -> str:
    """Return a path without empty segments: trailing and doubled slashes mean nothing, as in v1."""
    return "/" + "/".join(segment for segment in path.split("/") if segment)


def request_id(sent: str, ids: SerialIds) -> str:
    """Return the client's id for the request where it is harmless, a new one otherwise."""
    return sent if sent and _REQUEST_ID.fullmatch(sent) else ids.next()
