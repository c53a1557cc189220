"""Calls to the running service over HTTP, as the application that the environment or the configuration names."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from cli.examples import base_url
from cli.first_run import FIRST_KEY_FILE, read_key
from cli.key import digest_of
from common.settings import config_file, load_settings

URL_VARIABLE: Final = "QUEUEY_URL"
KEY_VARIABLE: Final = "QUEUEY_KEY"
CALL_S_MAX: Final = 90.0
"""Seconds that a call may take: longer than the longest wait."""


class ServiceError(Exception):
    """The call did not succeed; the text says why, and never shows a key."""


class Place(NamedTuple):
    """Where an application is served."""

    url: str
    """``http(s)://host:port/v1/application``; the host is ignored where there is a socket."""
    socket_path: str
    key: str


def add_application(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that all commands over HTTP have."""
    parser.add_argument(
        "--application",
        help="the application (that of QUEUEY_URL, else of the key, else the first that is configured)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one document a line")


class Service:
    """One application of one service, over one connection that is opened anew when it breaks."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._parts = urlsplit(place.url)
        self._connection: http.client.HTTPConnection | None = None

    @classmethod
    def named(cls, application: str | None) -> Service:
        """Return the service of ``QUEUEY_URL``, else of the configuration.

        Raises:
            ServiceError: neither names one.
            BadSettingsError: the configuration can't be used.
        """
        return cls(_place(application))

    def call(
        self,
        method: str,
        path: str = "",
        *,
        query: Mapping[str, object] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, object]:
        """Return the JSON object that answers a call; ``path`` is below the application.

        Raises:
            ServiceError: no answer, or one that says why not.
        """
        target = self._parts.path.rstrip("/") + (f"/{path}" if path else "")
        if query:
            target += "?" + urlencode({name: value for name, value in query.items() if value is not None})
        sent = {"Authorization": f"Application {self._place.key}"} if self._place.key else {}
        try:
            status, text = self._exchange(method, target, body, {**sent, **(headers or {})})
        except (OSError, http.client.HTTPException) as error:
            raise ServiceError(f"{self._place.url} does not answer: {error}") from None
        return _answer(status, text)

    def _exchange(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        connection = self._connection = self._connection or self._connect()
        try:
            connection.request(method, target, body=body, headers=dict(headers))
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            self._connection = None
            connection.close()
            raise
        if response.will_close:
            self._connection = None
        return response.status, text

    def _connect(self) -> http.client.HTTPConnection:
        if self._place.socket_path:
            return _UnixConnection(self._place.socket_path)
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        return kind(self._parts.netloc, timeout=CALL_S_MAX)


def run_call(work: Callable[[], int]) -> int:
    """Do what calls the service; 1 with a line on standard error where that fails, 130 on Ctrl-C."""
    try:
        return work()
    except ServiceError as error:
        print(f"queuey: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def queue_path(queue: str, *more: str) -> str:
    """Return the path of a queue, or of what is below it."""
    return "/".join(quote(part, safe="") for part in (queue, *more))


def objects_of(value: object) -> list[dict[str, object]]:
    """Return the objects of a JSON list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def number_of(value: object) -> int:
    """Return a JSON number as it is, anything else as 0."""
    return value if isinstance(value, int) else 0


def _place(application: str | None) -> Place:
    key = os.environ.get(KEY_VARIABLE, "")
    url = os.environ.get(URL_VARIABLE, "").rstrip("/")
    if url:
        if urlsplit(url).scheme not in {"http", "https"}:
            raise ServiceError(f"{URL_VARIABLE} is no http:// or https:// URL")
        if "/v1/" in url:
            base, _, named = url.partition("/v1/")
            return Place(f"{base}/v1/{quote(application or named, safe='')}", "", key)
        if not application:
            raise ServiceError(f"{URL_VARIABLE} names no application: end it in /v1/NAME, or say --application NAME")
        return Place(f"{url}/v1/{quote(application, safe='')}", "", key)
    return _configured_place(application, key)


def _configured_place(application: str | None, key: str) -> Place:
    file = config_file()
    settings = load_settings(file)
    first = file.parent / FIRST_KEY_FILE
    key = key or (read_key(first) if first.exists() else "")
    owners = [name for name, each in settings.applications.items() if key and digest_of(key) in each.key_sha256]
    name = application or next(iter(owners or settings.applications))
    bind = settings.api.bind
    path = bind.removeprefix("unix:") if bind.startswith("unix:") else ""
    return Place(f"{base_url(bind)}/v1/{quote(name, safe='')}", path, key)


def _answer(status: int, text: bytes) -> dict[str, object]:
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ServiceError(f"answered {status} with what is no JSON object")
    if status >= http.client.BAD_REQUEST:
        reasons = document.get("error_msg")
        told = "; ".join(f"{name} {why}" for name, why in reasons.items()) if isinstance(reasons, dict) else ""
        raise ServiceError(f"{status} {document.get('code', '')}: {told}")
    return document


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=CALL_S_MAX)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(CALL_S_MAX)
        self.sock.connect(self._path)
