"""Asks a node over its own protocol whether it is ready, with nothing but a socket, encrypted if need be.

A frame of protocol version 4, as far as it is needed here:

    | version 1 | flags 1 | stream 2 | opcode 1 | body length 4 | body |
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_REQUEST_VERSION = 0x04
_HEADER = struct.Struct(">BBhBi")
_ERROR, _STARTUP, _READY, _QUERY, _RESULT = 0x00, 0x01, 0x02, 0x07, 0x08
_AUTHENTICATE, _AUTH_RESPONSE, _AUTH_SUCCESS = 0x03, 0x0F, 0x10
_FIRST_CREDENTIALS = b"\0cassandra\0cassandra"
"""What a new server takes."""
_ROWS = 2
_CONSISTENCY_ONE, _CONSISTENCY_ALL = 0x0001, 0x0005
_PATIENCE_SECONDS = 3.0


class NotReadyError(Exception):
    """The node doesn't answer, or answers that it can't serve yet."""


def answers(address: str, port: int, *, authority: Path | None = None) -> bool:
    """The node takes CQL connections and answers a query from its own tables."""
    try:
        with _connection(address, port, authority) as link:
            _query(link, "SELECT key FROM system.local", consistency=_CONSISTENCY_ONE)
    except NotReadyError:
        return False
    return True


def sees_all(address: str, port: int, *, nodes: int, authority: Path | None = None) -> bool:
    """The node knows all others, shares their schema version, and reaches every one of them now."""
    try:
        with _connection(address, port, authority) as link:
            peers = _query(link, "SELECT schema_version FROM system.peers", consistency=_CONSISTENCY_ONE)
            own = _query(link, "SELECT schema_version FROM system.local", consistency=_CONSISTENCY_ONE)
            if len(peers) != nodes - 1 or set(peers) - set(own):
                return False
            if nodes > 2:  # this table of the server's own lives on three nodes: ALL reaches every node
                everywhere = "SELECT keyspace_name FROM system_distributed.view_build_status"
                _query(link, everywhere, consistency=_CONSISTENCY_ALL)
    except NotReadyError:
        return False
    return True


@contextmanager
def _connection(address: str, port: int, authority: Path | None) -> Iterator[socket.socket]:
    try:
        with _link(address, port, authority) as link:
            options = b"\x00\x01" + _text("CQL_VERSION") + _text("3.0.0")
            opcode, _ = _exchange(link, _STARTUP, options)
            if opcode == _AUTHENTICATE and authority is not None:
                answer = struct.pack(">i", len(_FIRST_CREDENTIALS)) + _FIRST_CREDENTIALS
                opcode, _ = _exchange(link, _AUTH_RESPONSE, answer)
            if opcode not in (_READY, _AUTH_SUCCESS):
                raise NotReadyError("the node asks for credentials or refuses the connection")
            yield link
    except OSError as error:
        raise NotReadyError(str(error)) from error


def _link(address: str, port: int, authority: Path | None) -> socket.socket:
    plain = socket.create_connection((address, port), timeout=_PATIENCE_SECONDS)
    if authority is None:
        return plain
    try:
        context = ssl.create_default_context(cafile=str(authority))
        return context.wrap_socket(plain, server_hostname=address)
    except OSError:
        plain.close()
        raise


def _query(link: socket.socket, statement: str, *, consistency: int) -> list[bytes]:
    """The first column's raw value of every row."""
    raw = statement.encode()
    opcode, body = _exchange(link, _QUERY, struct.pack(">i", len(raw)) + raw + struct.pack(">HB", consistency, 0))
    if opcode != _RESULT or struct.unpack_from(">i", body)[0] != _ROWS:
        raise NotReadyError("the node refused the query")
    return list(_first_column(body))


def _first_column(body: bytes) -> Iterator[bytes]:
    """Rows of one column of a plain type: flags, count, keyspace, table, name, type, then the rows."""
    offset = 12
    for _ in range(3):
        offset += 2 + struct.unpack_from(">H", body, offset)[0]
    (count,) = struct.unpack_from(">i", body, offset + 2)
    offset += 6
    for _ in range(count):
        (length,) = struct.unpack_from(">i", body, offset)
        yield body[offset + 4 : offset + 4 + max(length, 0)]
        offset += 4 + max(length, 0)


def _exchange(link: socket.socket, opcode: int, body: bytes) -> tuple[int, bytes]:
    link.sendall(_HEADER.pack(_REQUEST_VERSION, 0, 0, opcode, len(body)) + body)
    _, _, _, answer, length = _HEADER.unpack(_receive(link, _HEADER.size))
    return answer, _receive(link, length)


def _receive(link: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        piece = link.recv(size - len(received))
        if not piece:
            raise NotReadyError("the node closed the connection")
        received += piece
    return received


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack(">H", len(raw)) + raw
