"""The lines that a start prints: they can be pasted as they are, and work."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cli.first_run import FIRST_KEY_FILE, read_key
from cli.key import digest_of
from common.settings import Settings

_SHELL_KEY: Final = "$QUEUEY_KEY"
_REACHED_AT: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 (nothing is bound here)


def example_lines(settings: Settings, directory: Path) -> tuple[str, ...]:
    """Return curl lines that create a queue, post to it and read it.

    They hold the first key where the configuration still has it; else ``$QUEUEY_KEY``, for the reader to set.
    """
    application, key = _application_and_key(settings, directory / FIRST_KEY_FILE)
    start = f'curl -sS {_socket_option(settings.api.bind)}-H "Authorization: Application {key}"'
    url = f"{base_url(settings.api.bind)}/v1/{application}"
    return (
        f"{start} -d queue_name=hello {url}",
        f'{start} -H "Content-Type: text/plain" -d "Hello, world" {url}/hello',
        f"{start} {url}/hello",
    )


def base_url(bind: str) -> str:
    """Return the URL of the front ends as seen from this machine."""
    if bind.startswith("unix:"):
        return "http://localhost"
    host, _, port = bind.rpartition(":")
    return f"http://{_REACHED_AT.get(host, host)}:{port}"


def _socket_option(bind: str) -> str:
    return f"--unix-socket {bind.removeprefix('unix:')} " if bind.startswith("unix:") else ""


def _application_and_key(settings: Settings, key_file: Path) -> tuple[str, str]:
    if key_file.exists():
        key = read_key(key_file)
        for name, application in settings.applications.items():
            if digest_of(key) in application.key_sha256:
                return name, key
    return next(iter(settings.applications)), _SHELL_KEY
