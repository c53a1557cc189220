"""Who may connect to the node: front ends whose public key is on the list.

libzmq asks for every CURVE handshake by the ZeroMQ Authentication Protocol (ZAP 1.0), through a socket inside the
process.  The answer comes from the event loop that serves the node: no thread.  Whoever does not speak CURVE at all,
or to another node's key, never gets as far; the socket's monitor tells of them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection
from typing import Final

import structlog
import zmq
from zmq.utils import z85

from common.logs import Throttle

ZAP_ENDPOINT: Final = "inproc://zeromq.zap.01"
ZAP_DOMAIN: Final = b"queuey"
ASKED_PER_TURN_MAX: Final = 64
"""Handshakes looked at before the loop may do something else."""

_VERSION: Final = b"1.0"
_REQUEST_PARTS: Final = 9
"""Identity, empty, version, request id, domain, address, peer's identity, mechanism, key."""
_EVENT: Final = struct.Struct("=hi")
_REASONS: Final = {
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "not encrypted, or to another key",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "ended before it was agreed",
}
"""Where one side is not encrypted, whichever sees it first closes the connection, and the other sees it end."""
_FAILED: Final = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Gatekeeper:
    """Answers libzmq's questions about one ROUTER socket; bind and connect nothing before it is made."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        router: zmq.Socket[bytes],
        *,
        secret: str,
        allowed: Collection[str],
        on_refusal: Callable[[], int],
        now_s: Callable[[], float],
    ) -> None:
        """``secret`` and ``allowed`` are keys in Z85: the node's own secret one, front ends' public ones.

        ``on_refusal`` counts one more that did not get in, and returns how many there were.
        """
        self.public_key = public_key_of(secret)
        self._on_refusal = on_refusal
        self._allowed = frozenset(z85.decode(key) for key in allowed)
        self._now_s = now_s
        self._lines = Throttle()
        self._zap = context.socket(zmq.ROUTER)
        self._zap.setsockopt(zmq.LINGER, 0)
        self._zap.bind(ZAP_ENDPOINT)
        self._monitor = router.get_monitor_socket(_FAILED)
        router.setsockopt(zmq.CURVE_SERVER, 1)
        router.setsockopt(zmq.CURVE_SECRETKEY, secret.encode())
        router.setsockopt(zmq.CURVE_PUBLICKEY, self.public_key.encode())
        router.setsockopt(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
        router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    @property
    def descriptors(self) -> tuple[int, int]:
        """What becomes readable when ``look`` has something to do."""
        return self._zap.fileno(), self._monitor.fileno()

    def look(self) -> bool:
        """Answer what is asked; return whether there may be more."""
        return all(self._answer_one() | self._note_failure() for _ in range(ASKED_PER_TURN_MAX))

    def close(self, router: zmq.Socket[bytes]) -> None:
        """Let go of the sockets."""
        router.disable_monitor()
        self._monitor.close(linger=0)
        self._zap.close(linger=0)

    def _answer_one(self) -> bool:
        try:
            parts = self._zap.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        known = self._knows(parts)
        if not known:
            self._refuse("unknown key", address=parts[5].decode("ascii", "replace") if len(parts) > 5 else "")
        verdict = (b"200", b"OK") if known else (b"400", b"unknown key")
        self._zap.send_multipart([parts[0], b"", _VERSION, parts[3] if len(parts) > 3 else b"", *verdict, b"", b""])
        return True

    def _knows(self, parts: list[bytes]) -> bool:
        if len(parts) != _REQUEST_PARTS:
            return False
        _, _, version, _, domain, _, _, mechanism, key = parts
        return (version, domain, mechanism) == (_VERSION, ZAP_DOMAIN, b"CURVE") and key in self._allowed

    def _note_failure(self) -> bool:
        try:
            event, _ = self._monitor.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        kind, _ = _EVENT.unpack(event)
        self._refuse(_REASONS.get(kind, "unknown"), address="")
        return True

    def _refuse(self, reason: str, *, address: str) -> None:
        total = self._on_refusal()
        held = self._lines.admit(self._now_s())
        if held is not None:
            _log.warning("link_refused", reason=reason, address=address, held_back=held, total=total)


def public_key_of(secret: str) -> str:
    """Return the public key that belongs to a secret one, both in Z85."""
    return zmq.curve_public(secret.encode()).decode("ascii")
