"""Which pages of other origins may call: exactly those that the configuration lists for the application in the URL.

Cookies play no part here: who calls is said in ``Authorization`` or in a link, so credentials are never allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Headers = tuple[tuple[str, str], ...]

METHODS: Final = "GET, HEAD, POST, PUT, DELETE"
REQUEST_HEADERS: Final = (
    "accept",
    "authorization",
    "cache-control",
    "content-type",
    "idempotency-key",
    "last-event-id",
    "traceparent",
    "x-delay",
    "x-partition",
    "x-partition-key",
    "x-request-id",
    "x-ttl",
)
"""What a page may send; besides these every ``X-Attr-*`` that it names."""
EXPOSED: Final = "Allow, Retry-After, X-Request-Id"
"""What a page may read, besides what every page may."""

_PREFLIGHT_S: Final = 600
_ATTRIBUTE: Final = "x-attr-"
_VARY: Final = (("Vary", "Origin"),)


class CrossOriginCall(NamedTuple):
    """What a request says about the page that it comes from."""

    application: str = ""
    """The one that the path names; empty for paths outside all applications."""
    origin: str = ""
    method: str = ""
    """What a preflight asks to send; empty for the request itself."""
    headers: str = ""

    @classmethod
    def of(cls, environ: WSGIEnvironment) -> CrossOriginCall:
        """Return what a request says."""
        parts = environ["PATH_INFO"].split("/", 3)
        application = parts[2] if len(parts) > 2 and parts[1] == "v1" else ""
        is_preflight = environ["REQUEST_METHOD"] == "OPTIONS"
        return cls(
            application,
            environ.get("HTTP_ORIGIN", ""),
            environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD", "") if is_preflight else "",
            environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "") if is_preflight else "",
        )


class CrossOrigin:
    """The origins of every application."""

    def __init__(self, origins: Mapping[str, Sequence[str]]) -> None:
        self._origins = {name: frozenset(allowed) for name, allowed in origins.items()}

    def headers(self, call: CrossOriginCall) -> Headers:
        """Return what every answer carries, refusals too: only by it may a page read the answer."""
        if not call.application:
            return ()
        if not self._allows(call):
            return _VARY
        return (*_VARY, ("Access-Control-Allow-Origin", call.origin), ("Access-Control-Expose-Headers", EXPOSED))

    def preflight(self, call: CrossOriginCall) -> Headers | None:
        """Return what else the answer to an allowed preflight carries, ``None`` for any other request."""
        if not call.method or not self._allows(call):
            return None
        named = (name.strip().lower() for name in call.headers.split(","))
        attributes = (name for name in named if name.startswith(_ATTRIBUTE) and _is_token(name))
        return (
            ("Access-Control-Allow-Methods", METHODS),
            ("Access-Control-Allow-Headers", ", ".join((*REQUEST_HEADERS, *attributes))),
            ("Access-Control-Max-Age", str(_PREFLIGHT_S)),
        )

    def _allows(self, call: CrossOriginCall) -> bool:
        return bool(call.origin) and call.origin in self._origins.get(call.application, ())


def _is_token(name: str) -> bool:
    return name.isascii() and name.replace("-", "").replace("_", "").replace(".", "").isalnum()
