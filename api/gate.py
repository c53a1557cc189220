"""Refuses requests before anything is spent on them, while more are under way than the service keeps up with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import structlog

from api.responses.answers import failure_answer
from api.routes.front import note
from common.clock import Clock
from common.logs import Throttle
from common.protocol.failures import Code, Failure

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATHS: Final = "/v1/"
"""What may be refused; health is not."""
CROWDED: Final = Failure(Code.OVERLOADED, "front_end", "has more requests under way than it keeps up with", 1_000)

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Gate:
    """Wraps the application."""

    def __init__(self, application: WSGIApplication, is_crowded: Callable[[], bool], clock: Clock) -> None:
        self._application = application
        self._is_crowded = is_crowded
        self._clock = clock
        self._lines = Throttle()
        answer = failure_answer(CROWDED)
        self._status = answer.status
        self._headers = list(answer.headers.items())
        self._body = answer.get_data()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve or refuse one request."""
        if not self._is_crowded() or not environ["PATH_INFO"].startswith(PATHS):
            return self._application(environ, start_response)
        noted = note()
        noted.route, noted.code = "overload", Code.OVERLOADED
        held = self._lines.admit(self._clock.monotonic_s())
        if held is not None:
            _log.warning("front_end_overloaded", held_back=held)
        start_response(self._status, list(self._headers))
        return (self._body,)
