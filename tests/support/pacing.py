"""Requests at a given rate over many connections, from greenlets; the answers' times by kind."""

from __future__ import annotations

import time
from collections import Counter
from typing import Final, NamedTuple

import gevent
from gevent import socket

CALL_S_MAX: Final = 30.0


class Times(NamedTuple):
    """What came back."""

    accepted_s: list[float]
    refused_s: list[float]
    """Of 503 with ``Retry-After``."""
    failed: Counter[str]
    """Anything else."""
    lasted_s: float

    @property
    def per_s(self) -> float:
        """Requests accepted per second."""
        return len(self.accepted_s) / self.lasted_s

    @property
    def sent_per_s(self) -> float:
        """Requests answered per second, however."""
        return (len(self.accepted_s) + len(self.refused_s)) / self.lasted_s


def quantile(seconds: list[float], share: float) -> float:
    """Return that quantile."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def drive(port: int, request: bytes, *, per_s: float, seconds: float, connections: int) -> Times:
    """Send a request over and over, ``per_s`` in all where the connections allow it."""
    times = Times([], [], Counter(), seconds)
    begun_s = time.monotonic()
    gevent.joinall(
        [
            gevent.spawn(_send_on, port, request, times, begun_s, connections / per_s, number / connections)
            for number in range(connections)
        ],
        raise_error=True,
    )
    return times


def _send_on(port: int, request: bytes, times: Times, begun_s: float, every_s: float, phase: float) -> None:
    connection: socket.socket | None = None
    next_s = begun_s + every_s * phase
    while (now_s := time.monotonic()) < begun_s + times.lasted_s:
        if next_s > now_s:
            gevent.sleep(next_s - now_s)
        sent_s = time.monotonic()
        next_s = max(next_s + every_s, sent_s)
        try:
            if connection is None:
                connection = socket.create_connection(("127.0.0.1", port), CALL_S_MAX)
            connection.sendall(request)
            head = _answer(connection)
        except OSError as error:
            times.failed[type(error).__name__] += 1
            connection = None
            continue
        took_s = time.monotonic() - sent_s
        if head.startswith(b"HTTP/1.1 2"):
            times.accepted_s.append(took_s)
        elif head.startswith(b"HTTP/1.1 503") and b"retry-after:" in head.lower():
            times.refused_s.append(took_s)
        else:
            times.failed[head[:12].decode()] += 1
        if b"connection: close" in head.lower():
            connection.close()
            connection = None
    if connection is not None:
        connection.close()


def _answer(connection: socket.socket) -> bytes:
    """Read one whole answer; return its head."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += _some(connection)
    return head


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 16)
    if not data:
        raise ConnectionResetError
    return bytes(data)
