"""Flask without what this service has none of: sessions, hooks, signals, and hosts that decide what is served.

Every request still goes through Flask's routing, its request context and its error handlers; what is left out are
look-ups for features that nobody uses here, about a third of Flask's own time for a small request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

View = TypeVar("View", bound=Callable[..., object])

HOSTS_REMEMBERED_MAX: Final = 1_000
"""Values of the ``Host`` header that were found to be well-formed."""


class NoSessions(SessionInterface):
    """Hands out one session that nothing can be put into."""

    def __init__(self) -> None:
        self._none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002
        """Return it."""
        return self._none


class QuickFlask(Flask):
    """An application whose views are plain functions and which registers no hooks."""

    session_interface = NoSessions()

    def __init__(self, name: str) -> None:
        super().__init__(name, static_folder=None)
        self._hosts: set[str] = set()

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Bind the URL map to a path and method; a malformed ``Host`` is refused as Flask does, by its own code."""
        if request is None:
            return None
        environ = request.environ
        if environ.get("HTTP_HOST") not in self._hosts:
            return self._unknown_host(request)
        return MapAdapter(
            self.url_map,
            server_name="",
            script_name="/",
            subdomain="",
            url_scheme=environ["wsgi.url_scheme"],
            path_info=_path(environ),
            default_method=environ["REQUEST_METHOD"],
        )

    def ensure_sync(self, func: View) -> View:
        """Return the function: none of them is asynchronous."""
        return func

    def preprocess_request(self) -> None:
        """Run no hooks."""

    def process_response(self, response: Response) -> Response:
        """Run no hooks."""
        return response

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        """Run no hooks."""

    def do_teardown_appcontext(self, exc: BaseException | None = None) -> None:
        """Run no hooks."""

    def _unknown_host(self, request: Request) -> MapAdapter | None:
        adapter = super().create_url_adapter(request)
        if len(self._hosts) >= HOSTS_REMEMBERED_MAX:
            self._hosts.clear()
        if "HTTP_HOST" in request.environ:
            self._hosts.add(request.environ["HTTP_HOST"])
        return adapter


def _path(environ: WSGIEnvironment) -> str:
    """Return the path; WSGI hands its bytes over as Latin-1."""
    path: str = environ["PATH_INFO"]
    return path if path.isascii() else path.encode("latin-1").decode(errors="replace")
