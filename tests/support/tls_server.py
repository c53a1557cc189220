"""A real HTTPS server on a free port, with an authority of its own, that answers exactly the bytes it is told."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Answer = Callable[[ssl.SSLSocket, bytes], None]


def reply(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    """Return a whole HTTP reply."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}Connection: close\r\n\r\n"
    return head.encode() + body


class TlsServer:
    """Serves one connection after the other, each with ``answer``, until closed."""

    def __init__(self, directory: Path, answer: bytes | Answer, *, host: str = "issuer.test") -> None:
        self.requests: list[bytes] = []
        self.host = host
        self._answer = answer
        self._context, self.authority = _contexts(directory, host)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        """Resolve every name to this server."""
        del host, port
        return [("127.0.0.1", self.port)]

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            with plain:
                self._serve_one(plain)

    def _serve_one(self, plain: socket.socket) -> None:
        plain.settimeout(10)
        try:
            with self._context.wrap_socket(plain, server_side=True) as secure:
                request = secure.recv(8_192)
                self.requests.append(request)
                if isinstance(self._answer, bytes):
                    secure.sendall(self._answer)
                else:
                    self._answer(secure, request)
        except OSError:
            return


def _contexts(directory: Path, host: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the server's context, and one for clients that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = directory / "server.pem"
    file.write_bytes(private + pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=pem.decode())
