"""TCP ports for what a test starts."""

from __future__ import annotations

import secrets
import socket
from typing import Final

PORTS: Final = range(15_000, 32_000)
"""Below those that the kernel gives to outgoing connections: one of the hundreds that a session of tests holds open
would take a port between the moment it was found free and the start of what is to listen on it."""


def free_ports(count: int) -> tuple[int, ...]:
    """Return some ports in a row that nobody listens on now."""
    while True:
        first = secrets.choice(PORTS)
        ports = tuple(range(first, first + count))
        if all(_is_free(port) for port in ports):
            return ports


def free_endpoint() -> str:
    """Return a link's endpoint on a port that nobody listens on now."""
    (port,) = free_ports(1)
    return f"tcp://127.0.0.1:{port}"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
