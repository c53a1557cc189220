"""Refuses requests before much is spent on them: those of an application over its rates, and all while more are under
way than the service keeps up with.

That an application is over its rate is told here only to who was let in before with the very same header, whom the
route would tell it, too; who has a wrong key is answered as anywhere else.  Only requests that were admitted count
towards a rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import gevent
import structlog

from api.auth.authenticate import Authenticator
from api.rates import Rates
from api.responses.answers import failure_answer
from api.routes.front import note
from common.clock import Clock
from common.logs import Throttle
from common.protocol.failures import Code, Failure, FailureError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATHS: Final = "/v1/"
"""What may be refused; health is not."""
HELD_S: Final = 0.04
"""Seconds that a refusal is held back, since who is refused asks again: refusing at once, over and over, took nine
tenths of what a process can do."""
CROWDED: Final = Failure(Code.OVERLOADED, "front_end", "has more requests under way than it keeps up with", 1_000)

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Gate:
    """Wraps the application."""

    def __init__(
        self,
        application: WSGIApplication,
        is_crowded: Callable[[], bool],
        clock: Clock,
        *,
        rates: Rates,
        authenticator: Authenticator,
    ) -> None:
        self._application = application
        self._is_crowded = is_crowded
        self._rates = rates
        self._authenticator = authenticator
        self._clock = clock
        self._lines = Throttle()
        answer = failure_answer(CROWDED)
        self._status = answer.status
        self._headers = list(answer.headers.items())
        self._body = answer.get_data()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve or refuse one request."""
        path: str = environ["PATH_INFO"]
        if not path.startswith(PATHS):
            return self._application(environ, start_response)
        application = path[len(PATHS) :].partition("/")[0]
        try:
            self._rates.look(application, self._clock.monotonic_s())
        except FailureError as error:
            if self._is_known(environ):
                noted = note()
                noted.application, noted.route, noted.code = application, "quota", error.failure.code
                return failure_answer(error.failure)(environ, start_response)
        return self._refuse(start_response) if self._is_crowded() else self._application(environ, start_response)

    def _is_known(self, environ: WSGIEnvironment) -> bool:
        """A link is a credential, too, which is judged anew each time."""
        return "link=" not in environ.get("QUERY_STRING", "") and self._authenticator.is_known(
            environ.get("HTTP_AUTHORIZATION")
        )

    def _refuse(self, start_response: StartResponse) -> Iterable[bytes]:
        noted = note()
        noted.route, noted.code = "overload", Code.OVERLOADED
        held = self._lines.admit(self._clock.monotonic_s())
        if held is not None:
            _log.warning("front_end_overloaded", held_back=held)
        gevent.sleep(HELD_S)
        start_response(self._status, list(self._headers))
        return (self._body,)
