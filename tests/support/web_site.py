"""A small web site on an origin of its own: fixed pages on a free port."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit


class Site(NamedTuple):
    """Where it is, and the pages that it shows; they may be changed while it runs."""

    origin: str
    pages: dict[str, str]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    pages: dict[str, str]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Show the page of this path."""
        page = self.server.pages.get(urlsplit(self.path).path)
        content = (page or "").encode()
        self.send_response(404 if page is None else 200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing: tests tell what went wrong."""


@contextlib.contextmanager
def serving(pages: Mapping[str, str], *, host: str = "127.0.0.1") -> Iterator[Site]:
    """Serve pages for one block; ``host`` is the name that browsers use, of this machine."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.pages = dict(pages)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Site(f"http://{host}:{server.server_address[1]}", server.pages)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
