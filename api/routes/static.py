"""The console, the examples and the browser's client: files of this package, in memory, each under one fixed path.

No part of a request ever names a file, so none outside can be reached.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Final, NamedTuple

from flask import Response, request

from api.responses.answers import bytes_answer
from api.routes.front import HEADERS, note

_JAVASCRIPT: Final = "text/javascript; charset=utf-8"
_CLIENT: Final = {
    "/queuey.js": ("client/queuey.js", _JAVASCRIPT),
    "/queuey.d.ts": ("client/queuey.d.ts", "text/plain; charset=utf-8"),
}
_CONSOLE: Final = {
    "/console": ("console/index.html", "text/html; charset=utf-8"),
    "/console/console.css": ("console/console.css", "text/css; charset=utf-8"),
    "/console/console.js": ("console/console.js", _JAVASCRIPT),
    "/examples": ("examples/index.html", "text/html; charset=utf-8"),
    "/examples/examples.js": ("examples/examples.js", _JAVASCRIPT),
}
_ANYWHERE: Final = (("Cross-Origin-Resource-Policy", "cross-origin"), ("Access-Control-Allow-Origin", "*"))
"""The client holds no secret: pages of any origin may load it."""
_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)


class StaticFile(NamedTuple):
    """One file, ready to be sent."""

    body: bytes
    content_type: str
    etag: str
    headers: tuple[tuple[str, str], ...]


def static_files(*, console: bool) -> dict[str, StaticFile]:
    """Return path -> file; the pages only where the console is switched on."""
    shared: dict[str, str] = dict(HEADERS) | {"Cache-Control": "no-cache"}
    page = tuple((shared | {"Content-Security-Policy": _PAGE_POLICY}).items())
    client = tuple((shared | dict(_ANYWHERE)).items())
    files = {path: _file(name, content_type, client) for path, (name, content_type) in _CLIENT.items()}
    if console:
        files |= {path: _file(name, content_type, page) for path, (name, content_type) in _CONSOLE.items()}
    return files


def show_file(file: StaticFile) -> Response:
    """Answer with the file, or with 304 where the client has it already."""
    note().headers = file.headers
    response = bytes_answer(file.body, file.content_type)
    response.set_etag(file.etag)
    if request.if_none_match.contains_weak(file.etag):
        response.status_code = 304
    return response


def _file(name: str, content_type: str, headers: tuple[tuple[str, str], ...]) -> StaticFile:
    body = resources.files("api").joinpath("static", *name.split("/")).read_bytes()
    return StaticFile(body, content_type, hashlib.blake2b(body, digest_size=12).hexdigest(), headers)
