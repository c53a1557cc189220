"""Addresses as the configuration writes them: where front ends listen, and ZeroMQ endpoints of storage nodes.

Only an encrypted link may go beyond loopback and UNIX sockets: there nobody would know who asks.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Final

SOCKET_PATH_BYTES_MAX: Final = 107
"""Bytes of a UNIX socket's path that the kernel takes."""

_HOST_PORT: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-]+):(?P<port>[0-9]{1,5})")


def problem_of_bind(text: str) -> str | None:
    """Say what is wrong with ``host:port`` or ``unix:path``, or ``None``."""
    if text.startswith("unix:"):
        return _problem_of_path(text.removeprefix("unix:"))
    return None if host_and_port_or_none(text) else f"{text!r} is neither host:port nor unix:path"


def problem_of_metrics_bind(text: str) -> str | None:
    """Say what is wrong with the ``host:port`` that metrics are shown on, or ``None``; empty is right, too."""
    return None if not text or host_and_port_or_none(text) else f"{text!r} is no host:port"


def problem_of_endpoint(text: str, *, encrypted: bool = False) -> str | None:
    """Say what is wrong with the ZeroMQ endpoint of a storage node, or ``None``."""
    scheme, separator, rest = text.partition("://")
    if scheme == "ipc" and separator:
        return _problem_of_path(rest)
    place = host_and_port_or_none(rest) if scheme == "tcp" and separator else None
    if place is None:
        return f"{text!r} is neither tcp://host:port nor ipc://path"
    return None if encrypted or is_loopback(place[0]) else f"{text!r} is beyond loopback, which needs CURVE keys"


def host_and_port_or_none(text: str) -> tuple[str, int] | None:
    """Split ``host:port``; an IPv6 address comes without its brackets."""
    found = _HOST_PORT.fullmatch(text)
    if not found or not 1 <= int(found["port"]) <= 65535:
        return None
    return found["host"].strip("[]"), int(found["port"])


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine by its very form; names other than ``localhost`` are not looked up."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_local(endpoint: str) -> bool:
    """Say whether an endpoint can't be reached from another machine."""
    place = host_and_port_or_none(endpoint.removeprefix("tcp://"))
    return place is None or is_loopback(place[0])


def is_wildcard(endpoint: str) -> bool:
    """Say whether an endpoint stands for all addresses of a machine, so that nobody can connect to it."""
    place = host_and_port_or_none(endpoint.removeprefix("tcp://"))
    return place is not None and place[0] in {"0.0.0.0", "::"}  # noqa: S104 (nothing is bound here)


def endpoint_of_process(endpoint: str, process: int) -> str:
    """Return where process ``process`` listens: that many ports further, or beside the socket of process 0."""
    if endpoint.startswith("ipc://"):
        return f"{endpoint}-{process}" if process else endpoint
    host, separator, port = endpoint.rpartition(":")
    return f"{host}{separator}{int(port) + process}" if port.isascii() and port.isdigit() else endpoint


def absolute_address(text: str, directory: Path) -> str:
    """Make the path of ``unix:path`` or ``ipc://path`` absolute; other addresses stay as they are."""
    for scheme in ("unix:", "ipc://"):
        path = text.removeprefix(scheme)
        if path and path != text:
            return scheme + str(directory / path)
    return text


def _problem_of_path(path: str) -> str | None:
    if not path:
        return "names no path"
    size = len(path.encode())
    return (
        f"the path has {size} bytes, {SOCKET_PATH_BYTES_MAX} are possible" if size > SOCKET_PATH_BYTES_MAX else None
    )
