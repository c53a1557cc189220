"""One bounded HTTPS GET: the only way authentication reaches out.

The reply ends after so many bytes and so many milliseconds, whatever the other side does; a redirect is an answer
like any other and is never followed; the connection goes to an address that was judged *after* the name was
resolved, so a name can't point elsewhere between the two.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from common.clock import Clock
from common.limits import DOCUMENT_BYTES_MAX, DOCUMENT_FETCH_MS_MAX

Resolve = Callable[[str, int], list[tuple[str, int]]]
"""(host, port) -> (address, port) of each way to it; raises ``OSError``."""

_CHUNK_BYTES: Final = 16_384
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class FetchError(Exception):
    """Nothing usable came back; the text names host and reason, never what was received."""


class Fetched(NamedTuple):
    """A whole reply."""

    status: int
    body: bytes


class HttpsFetcher:
    """Fetches documents over TLS, from public addresses only unless told otherwise."""

    def __init__(
        self,
        *,
        clock: Clock,
        is_address_allowed: Callable[[str], bool],
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._clock = clock
        self._is_address_allowed = is_address_allowed
        self._resolve = resolve or _resolve
        self._tls = tls or ssl.create_default_context()

    def fetch(self, url: str) -> Fetched:
        """Get an ``https`` URL.

        Raises:
            FetchError: no address, a forbidden one, no TLS, too slow, too large, or no HTTP.
        """
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
        if parts.scheme != "https" or not host:
            raise FetchError("not an https URL")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        deadline_s = self._clock.monotonic_s() + DOCUMENT_FETCH_MS_MAX / 1000
        try:
            return _parse(self._exchange(host, port, _request(host, port, target), deadline_s))
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise FetchError(f"{host}: {type(error).__name__}") from None

    def _exchange(self, host: str, port: int, request: bytes, deadline_s: float) -> bytes:
        with self._connect(host, port, deadline_s) as plain:
            plain.settimeout(self._left_s(host, deadline_s))
            with self._tls.wrap_socket(plain, server_hostname=host) as secure:
                secure.settimeout(self._left_s(host, deadline_s))
                secure.sendall(request)
                return self._receive(host, secure, deadline_s)

    def _connect(self, host: str, port: int, deadline_s: float) -> socket.socket:
        """Try each address in turn; one that does not answer leaves time for the rest."""
        addresses = self._addresses(host, port)
        for tried, address in enumerate(addresses):
            share_s = self._left_s(host, deadline_s) / (len(addresses) - tried)
            with suppress(OSError):
                return socket.create_connection(address, timeout=share_s)
        raise FetchError(f"{host}: no address answers")

    def _receive(self, host: str, secure: ssl.SSLSocket, deadline_s: float) -> bytes:
        received = bytearray()
        while True:
            secure.settimeout(self._left_s(host, deadline_s))
            chunk = secure.recv(_CHUNK_BYTES)
            if not chunk:
                return bytes(received)
            received += chunk
            if len(received) > DOCUMENT_BYTES_MAX:
                raise FetchError(f"{host}: more than {DOCUMENT_BYTES_MAX} bytes")

    def _addresses(self, host: str, port: int) -> list[tuple[str, int]]:
        addresses = self._resolve(host, port)
        if not addresses:
            raise FetchError(f"{host}: no address")
        if not all(self._is_address_allowed(address) for address, _ in addresses):
            raise FetchError(f"{host}: an address that is not public")
        return addresses

    def _left_s(self, host: str, deadline_s: float) -> float:
        left_s = deadline_s - self._clock.monotonic_s()
        if left_s <= 0:
            raise FetchError(f"{host}: took more than {DOCUMENT_FETCH_MS_MAX} ms")
        return left_s


def is_public_address(text: str) -> bool:
    """Say whether an address is on the public Internet, also where one family is wrapped in the other."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public_address(str(address.ipv4_mapped))
        if address in _NAT64 or address.sixtofour is not None or address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _resolve(host: str, port: int) -> list[tuple[str, int]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(str(address[0]), port) for *_, address in found]


def _request(host: str, port: int, target: str) -> bytes:
    authority = f"[{host}]" if ":" in host else host
    authority += "" if port == 443 else f":{port}"
    lines = (
        f"GET {target} HTTP/1.1",
        f"Host: {authority}",
        "Accept: application/json",
        "Accept-Encoding: identity",
        "Connection: close",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


class _Received:
    """Bytes in the place where ``http.client`` expects a socket."""

    def __init__(self, received: bytes) -> None:
        self._received = received

    def makefile(self, mode: str) -> io.BytesIO:
        """Return the bytes as a file; ``http.client`` asks for ``rb``."""
        assert mode == "rb"
        return io.BytesIO(self._received)


def _parse(received: bytes) -> Fetched:
    response = http.client.HTTPResponse(_Received(received))  # type: ignore[arg-type]
    response.begin()
    return Fetched(response.status, response.read())
