"""The bounded HTTPS GET, against a real TLS server."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path

import pytest

from api.auth.https_fetch import Fetched, FetchError, HttpsFetcher, is_public_address
from common.clock import SYSTEM_CLOCK
from common.limits import DOCUMENT_BYTES_MAX, DOCUMENT_FETCH_MS_MAX
from tests.support.tls_server import TlsServer, reply

URL = "https://issuer.test/.well-known/browserid"


def _fetcher(server: TlsServer, *, tls: ssl.SSLContext | None = None) -> HttpsFetcher:
    return HttpsFetcher(
        clock=SYSTEM_CLOCK,
        is_address_allowed=lambda _: True,
        resolve=server.resolve,
        tls=tls or server.authority,
    )


def test_a_document_is_fetched_over_tls(tmp_path: Path) -> None:
    """Path, query and host are those of the URL."""
    with TlsServer(tmp_path, reply(b'{"ok": true}')) as server:
        assert _fetcher(server).fetch("https://issuer.test/a/b?c=d") == Fetched(200, b'{"ok": true}')
    head = server.requests[0].decode()
    assert head.startswith("GET /a/b?c=d HTTP/1.1\r\nHost: issuer.test\r\n")


def test_a_chunked_reply_is_read(tmp_path: Path) -> None:
    """Servers that do not know a length in advance are understood."""
    body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{}  \r\n0\r\n\r\n"
    with TlsServer(tmp_path, body) as server:
        assert _fetcher(server).fetch(URL) == Fetched(200, b"{}  ")


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    """It comes back as what it is; one request was made."""
    moved = reply(b"", status="302 Found", headers="Location: https://issuer.test/other\r\n")
    with TlsServer(tmp_path, moved) as server:
        assert _fetcher(server).fetch(URL).status == 302
        assert len(server.requests) == 1


def test_a_reply_that_is_too_large_ends_early(tmp_path: Path) -> None:
    """Not one read more than needed to know it."""

    def pour(connection: ssl.SSLSocket, request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 16_384)

    with (
        TlsServer(tmp_path, pour) as server,
        pytest.raises(FetchError, match=f"more than {DOCUMENT_BYTES_MAX} bytes"),
    ):
        _fetcher(server).fetch(URL)


def test_a_reply_that_drips_ends_in_time(tmp_path: Path) -> None:
    """The bound is on the whole, however often a byte arrives."""

    def drip(connection: ssl.SSLSocket, request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x")
            time.sleep(0.1)

    started_s = time.monotonic()
    with TlsServer(tmp_path, drip) as server, pytest.raises(FetchError):
        _fetcher(server).fetch(URL)
    assert time.monotonic() - started_s < 3 * DOCUMENT_FETCH_MS_MAX / 1000


def test_a_certificate_of_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    """TLS without trust is no TLS."""
    with TlsServer(tmp_path, reply(b"{}")) as server, pytest.raises(FetchError, match="SSLCertVerificationError"):
        _fetcher(server, tls=ssl.create_default_context()).fetch(URL)
    assert server.requests == []


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    """The name in the URL is the one that must be certified."""
    with (
        TlsServer(tmp_path, reply(b"{}"), host="other.test") as server,
        pytest.raises(FetchError, match="SSLCertVerificationError"),
    ):
        _fetcher(server).fetch(URL)


@pytest.mark.parametrize("received", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"])
def test_what_is_no_whole_reply_is_refused(tmp_path: Path, received: bytes) -> None:
    """A reply that is cut off or no HTTP is a failure, not a document."""
    with TlsServer(tmp_path, received) as server, pytest.raises(FetchError):
        _fetcher(server).fetch(URL)


@pytest.mark.parametrize("url", ["http://issuer.test/", "file:///etc/passwd", "https:///path", "issuer.test"])
def test_only_https_urls_are_fetched(url: str) -> None:
    """No other scheme leads anywhere."""
    fetcher = HttpsFetcher(clock=SYSTEM_CLOCK, is_address_allowed=lambda _: True, resolve=lambda _h, _p: [])
    with pytest.raises(FetchError, match="not an https URL"):
        fetcher.fetch(url)


def test_a_name_without_an_address_is_refused() -> None:
    """Nothing to connect to."""
    fetcher = HttpsFetcher(clock=SYSTEM_CLOCK, is_address_allowed=lambda _: True, resolve=lambda _h, _p: [])
    with pytest.raises(FetchError, match="no address"):
        fetcher.fetch(URL)


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_an_address_that_does_not_answer_leaves_time_for_the_next(tmp_path: Path) -> None:
    """A host counts as long as one of its addresses does."""
    dead = ("127.0.0.1", _closed_port())
    with TlsServer(tmp_path, reply(b"{}")) as server:
        fetcher = HttpsFetcher(
            clock=SYSTEM_CLOCK,
            is_address_allowed=lambda _: True,
            resolve=lambda _host, _port: [dead, ("127.0.0.1", server.port)],
            tls=server.authority,
        )
        assert fetcher.fetch(URL).status == 200
    nowhere = HttpsFetcher(clock=SYSTEM_CLOCK, is_address_allowed=lambda _: True, resolve=lambda _host, _port: [dead])
    with pytest.raises(FetchError, match="no address answers"):
        nowhere.fetch(URL)


def test_a_name_with_any_private_address_is_never_connected_to(tmp_path: Path) -> None:
    """One private address among public ones is enough: the server sees nothing."""
    with TlsServer(tmp_path, reply(b"{}")) as server:
        for addresses in ([("127.0.0.1", server.port)], [("192.0.78.9", 443), ("127.0.0.1", server.port)]):
            fetcher = HttpsFetcher(
                clock=SYSTEM_CLOCK,
                is_address_allowed=is_public_address,
                resolve=lambda _h, _p, found=addresses: found,  # type: ignore[misc]
                tls=server.authority,
            )
            with pytest.raises(FetchError, match="not public"):
                fetcher.fetch(URL)
    assert server.requests == []


def test_local_names_resolve_to_addresses_that_are_refused() -> None:
    """The real resolver's answer for this machine is judged like any other."""
    fetcher = HttpsFetcher(clock=SYSTEM_CLOCK, is_address_allowed=is_public_address)
    with pytest.raises(FetchError, match="not public"):
        fetcher.fetch("https://localhost/")


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_allowed(address: str) -> None:
    """Ordinary addresses of both families."""
    assert is_public_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:1::1",
        "issuer.test",
        "",
        "fe80::1%eth0",
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    """Loopback, private, link-local, shared, reserved, multicast, documentation, and IPv4 wrapped in IPv6."""
    assert not is_public_address(address)
