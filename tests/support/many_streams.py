"""Thousands of readers of one queue in one process: raw sockets, one selector, what came of each."""

from __future__ import annotations

import contextlib
import resource
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from typing import Final

FILES_MORE: Final = 500
"""Files that the process needs besides the sockets."""
AT_ONCE: Final = 50
"""Connections opened before their answers are waited for."""
END_OF_HEAD: Final = b"\r\n\r\n"
REFUSED: Final = b"HTTP/1.1 503 "


class Reader:
    """One connection and all that came over it."""

    __slots__ = ("ended", "received", "socket")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.received = bytearray()
        self.ended = False


class Readers:
    """Open event streams; nothing is read but in ``wait``."""

    def __init__(self, port: int, path: str, headers: str = "") -> None:
        self._address = ("127.0.0.1", port)
        self._request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n{headers}\r\n".encode()
        self._selector = selectors.DefaultSelector()
        self.all: list[Reader] = []

    def open(self, count: int, *, within_s: float) -> None:
        """Open so many more, no faster than they begin; who is refused for the moment comes again, as clients do."""
        allow_files(count + FILES_MORE)
        until_s = time.monotonic() + within_s
        wanted = len(self.all) + count
        while len(self.all) < wanted:
            batch = [self._open() for _ in range(min(AT_ONCE, wanted - len(self.all)))]
            self.all += batch
            self.wait(has(END_OF_HEAD), within_s=until_s - time.monotonic())
            for reader in batch:
                if reader.received.startswith(REFUSED):
                    self.all.remove(reader)
                    self._drop(reader)
        self.wait(has(b"retry: "), within_s=until_s - time.monotonic())

    def _open(self) -> Reader:
        connection = socket.create_connection(self._address, timeout=30)
        connection.sendall(self._request)
        reader = Reader(connection)
        self._selector.register(connection, selectors.EVENT_READ, reader)
        return reader

    def _drop(self, reader: Reader) -> None:
        if not reader.ended:
            self._selector.unregister(reader.socket)
        reader.socket.close()

    def wait(self, condition: Callable[[Reader], bool], *, within_s: float) -> float:
        """Return the seconds until the condition held for all readers; fail when it does not in time."""
        begun_s = time.monotonic()
        missing = [reader for reader in self.all if not condition(reader)]
        while missing:
            assert time.monotonic() < begun_s + within_s, (
                f"{len(missing)} wait: {bytes(missing[0].received[-300:])!r}"
            )
            self._take(0.02)
            missing = [reader for reader in missing if not condition(reader)]
        return time.monotonic() - begun_s

    def close(self) -> None:
        """Go away."""
        for reader in self.all:
            reader.socket.close()
        self._selector.close()

    def _take(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            reader: Reader = key.data
            data = reader.socket.recv(65_536)
            reader.received += data
            if not data:
                reader.ended = True
                self._selector.unregister(reader.socket)


def has(text: bytes) -> Callable[[Reader], bool]:
    """Return a condition: the reader got this."""
    return lambda reader: text in reader.received


def allow_files(count: int) -> None:
    """Let this process have so many files open.

    Raises:
        ValueError: the system does not let it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


@contextlib.contextmanager
def reading(port: int, path: str, count: int, *, headers: str = "", within_s: float = 60.0) -> Iterator[Readers]:
    """Open so many streams for one block; each has begun."""
    readers = Readers(port, path, headers)
    try:
        readers.open(count, within_s=within_s)
        yield readers
    finally:
        readers.close()
