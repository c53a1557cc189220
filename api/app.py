"""The Flask application of a front end: routes, refusals, and the frame around every request."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from api.auth.authenticate import Authenticator
from api.auth.errors import AuthCode, AuthError
from api.gate import Gate
from api.quick_flask import QuickFlask
from api.responses.answers import failure_answer, refusal_answer
from api.responses.shapes import ErrorAnswer
from api.routes.cross_origin import CrossOrigin
from api.routes.frame import Frame
from api.routes.front import FrontEnd, NodeClient, note
from api.routes.static import StaticFile, show_file, static_files
from api.routes.table import HEARTBEAT, ROUTES, WORDS_AFTER_QUEUE, Route
from common.clock import Clock
from common.limits import REQUEST_BYTES_MAX
from common.logs import LineWriter
from common.metrics import Meter
from common.protocol.failures import Code, Failure, FailureError, Retry
from common.settings import Settings

_ALL_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
_FAILURE_OF_STATUS: Final = {
    404: Failure(Code.NOT_FOUND, "NotFound", "no such path"),
    405: Failure(Code.METHOD_NOT_ALLOWED, "MethodNotAllowed", "no such method; Allow names those there are"),
    413: Failure(Code.BODY_TOO_LARGE, "body", f"larger than maximum {REQUEST_BYTES_MAX} bytes"),
}

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class QueueConverter(BaseConverter):
    """A queue's segment: any but the one reserved for links."""

    regex = r"(?!_links\Z).+"


class IdsConverter(BaseConverter):
    """A list of message ids: any segment but the words that name something else of a queue."""

    regex = rf"(?!(?:{'|'.join(WORDS_AFTER_QUEUE)})\Z).+"


def create_app(
    settings: Settings,
    node_client: NodeClient,
    clock: Clock,
    *,
    authenticator: Authenticator,
    meter: Meter | None = None,
    lines: LineWriter | None = None,
    is_crowded: Callable[[], bool] = lambda: False,
) -> Flask:
    """Return the application of one front-end process; opens no socket and reads no file but its own pages."""
    app = QuickFlask("api")
    app.config["MAX_CONTENT_LENGTH"] = REQUEST_BYTES_MAX
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    app.url_map.converters |= {"queue": QueueConverter, "ids": IdsConverter}
    front = FrontEnd(settings, node_client, clock, authenticator=authenticator)
    app.extensions["front"] = front
    for route in ROUTES:
        app.add_url_rule(route.path, route.name, partial(_serve, front, route), methods=[route.method])
    app.add_url_rule(HEARTBEAT.path, HEARTBEAT.name, partial(_serve, front, HEARTBEAT), methods=_ALL_METHODS)
    for path, file in static_files(console=settings.api.console).items():
        app.add_url_rule(path, path, partial(_serve_file, file), methods=["GET"])
    app.register_error_handler(FailureError, _refuse)
    app.register_error_handler(AuthError, _refuse_credential)
    app.register_error_handler(HTTPException, _refuse_path)
    app.register_error_handler(Exception, _apologize)
    app.wsgi_app = Frame(  # type: ignore[method-assign]
        Gate(app.wsgi_app, is_crowded, clock, rates=front.rates, authenticator=authenticator),
        clock,
        _cross_origin(settings),
        front=front,
        meter=meter or Meter(),
        lines=lines or LineWriter("api", clock),
    )
    return app


def _serve(front: FrontEnd, route: Route, **arguments: str) -> Response:
    note().route = route.name
    return route.view(front, **arguments)


def _serve_file(file: StaticFile) -> Response:
    note().route = "static"
    return show_file(file)


def _cross_origin(settings: Settings) -> CrossOrigin:
    return CrossOrigin({name: application.origins for name, application in settings.applications.items()})


def _refuse(error: FailureError) -> Response:
    note().code = error.failure.code
    return failure_answer(error.failure)


def _refuse_credential(error: AuthError) -> Response:
    note().code = error.code
    is_rate = error.code is AuthCode.LINK_RATE_EXCEEDED
    answer = ErrorAnswer(error_msg={error.field: error.text}, code=error.code, retry=error.retry)
    waits = error.retry is Retry.LATER
    return refusal_answer(429 if is_rate else 401, answer, retry_after_ms=error.retry_after_ms if waits else None)


def _refuse_path(error: HTTPException) -> Response:
    """Answer what Flask itself refuses, in our shape and with its headers such as ``Allow``."""
    failure = _FAILURE_OF_STATUS.get(error.code or 500)
    response = _refuse(FailureError(failure or Failure(Code.INVALID_REQUEST, "request", error.name)))
    for name, value in error.get_headers(request.environ):
        if name.lower() == "allow":
            response.headers[name] = value
    return response


def _apologize(error: Exception) -> Response:
    """Answer a defect of ours: the log has the traceback under the request's id, the client the id."""
    _log.error("request_crashed", request_id=note().request_id, exc_info=error)
    return _refuse(FailureError(Failure(Code.INTERNAL, "internal", f"request {note().request_id}")))
