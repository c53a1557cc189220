"""One ROUTER socket on the event loop: who gets in, frames in, frames out.

The socket's file descriptor tells only that *something* happened, once: whoever has read or sent must look again.
So every wake-up drains the socket (a bounded number of frames per turn of the loop) and every send is followed by
one more look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from enum import Enum
from typing import Final

import zmq

from common.limits import (
    FRAME_BYTES_MAX,
    IN_FLIGHT_PER_NODE_MAX,
    LINK_HEARTBEAT_MS,
    LINK_SILENCE_MS_MAX,
    WAITERS_PER_NODE_MAX,
)
from storage_node.gatekeeper import Gatekeeper

FRAMES_PER_TURN_MAX: Final = 64
"""Frames read before the loop may do something else."""
LAST_WORDS_MS: Final = 500
"""Milliseconds for the last answers to leave a closing socket."""

_NOBLOCK: Final = int(zmq.NOBLOCK)
_NOBLOCK_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)
_EVENTS: Final = int(zmq.EVENTS)
_POLLIN: Final = int(zmq.POLLIN)
_RCVMORE: Final = int(zmq.RCVMORE)
# Plain numbers: combining and comparing pyzmq's enumerations costs as much as a small call of ZeroMQ.


class Sent(Enum):
    """What became of a frame."""

    OFF = "off"
    """On its way."""
    FULL = "full"
    """Dropped: the peer does not read."""
    GONE = "gone"
    """Dropped: the peer is not connected any more."""
    CLOSED = "closed"
    """Dropped: this socket is closed."""


class Router:
    """The socket; ``on_frame`` gets a peer's identity, a frame, and how many more came with it, thrown away."""

    def __init__(
        self,
        endpoint: str,
        on_frame: Callable[[bytes, bytes, int], None],
        *,
        curve_secret: str,
        allowed_keys: Collection[str],
        on_refusal: Callable[[], int],
        now_s: Callable[[], float],
    ) -> None:
        """``on_refusal`` is told of who was not let in, and returns how many that were."""
        self._endpoint = endpoint
        self._on_frame = on_frame
        self._curve_secret = curve_secret
        self._allowed_keys = allowed_keys
        self._on_refusal = on_refusal
        self._now_s = now_s
        self._gatekeeper: Gatekeeper | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._look_again = False

    @property
    def is_open(self) -> bool:
        """Bound and not closed."""
        return self._context is not None

    def open(self) -> str:
        """Bind and begin to read; return the endpoint as bound (a port ``*`` is filled in).

        Raises:
            OSError: the endpoint is in use or no endpoint of this machine.
        """
        self._loop = asyncio.get_running_loop()
        self._context = zmq.Context()
        self._socket = _socket(self._context)
        try:
            self._guard()
            self._socket.bind(self._endpoint)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            self._context = None
            raise OSError(error.errno, f"{self._endpoint}: {error.strerror}") from error
        self._loop.add_reader(self._socket.fileno(), self._on_readable)
        self._look()
        bound: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        return bound.rstrip("\0")

    def close(self) -> None:
        """Let go of the socket; what was sent has ``LAST_WORDS_MS`` to leave."""
        if self._context is None:
            return
        self._loop.remove_reader(self._socket.fileno())
        if self._gatekeeper is not None:
            for descriptor in self._gatekeeper.descriptors:
                self._loop.remove_reader(descriptor)
            self._gatekeeper.close(self._socket)
        self._socket.close(linger=LAST_WORDS_MS)
        self._context.term()
        self._context = None

    def send(self, identity: bytes, frame: bytes) -> Sent:
        """Send without waiting."""
        if self._context is None:
            return Sent.CLOSED
        sent = Sent.OFF
        try:
            self._socket.send(identity, _NOBLOCK_MORE)
            self._socket.send(frame, _NOBLOCK)
        except zmq.Again:
            sent = Sent.FULL
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            sent = Sent.GONE
        self._look()
        return sent

    # who gets in

    def _guard(self) -> None:
        if not self._curve_secret or self._context is None:
            return
        self._gatekeeper = Gatekeeper(
            self._context,
            self._socket,
            secret=self._curve_secret,
            allowed=self._allowed_keys,
            on_refusal=self._on_refusal,
            now_s=self._now_s,
        )
        for descriptor in self._gatekeeper.descriptors:
            self._loop.add_reader(descriptor, self._on_handshake)
        self._loop.call_soon(self._on_handshake)

    def _on_handshake(self) -> None:
        if self._context is not None and self._gatekeeper is not None and self._gatekeeper.look():
            self._loop.call_soon(self._on_handshake)

    # reading

    def _look(self) -> None:
        if not self._look_again:
            self._look_again = True
            self._loop.call_soon(self._on_readable)

    def _on_readable(self) -> None:
        self._look_again = False
        if self._context is None:
            return
        socket = self._socket
        for _ in range(FRAMES_PER_TURN_MAX):
            if not self._is_readable():
                return
            identity, frame = socket.recv(_NOBLOCK), socket.recv(_NOBLOCK)
            beyond = 0
            while socket.get(_RCVMORE):
                socket.recv(_NOBLOCK)
                beyond += 1
            self._on_frame(identity, frame, beyond)
        self._look()

    def _is_readable(self) -> bool:
        """Look without taking: asking costs less than the exception of a socket that has nothing."""
        events = self._socket.get(_EVENTS)
        return isinstance(events, int) and bool(events & _POLLIN)


def _socket(context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.ROUTER)
    options = {
        zmq.ROUTER_MANDATORY: 1,
        zmq.SNDHWM: IN_FLIGHT_PER_NODE_MAX + WAITERS_PER_NODE_MAX,
        zmq.RCVHWM: 1_000,
        zmq.LINGER: 0,
        zmq.MAXMSGSIZE: FRAME_BYTES_MAX,
        zmq.HEARTBEAT_IVL: LINK_HEARTBEAT_MS,
        zmq.HEARTBEAT_TIMEOUT: LINK_SILENCE_MS_MAX,
        zmq.HEARTBEAT_TTL: LINK_SILENCE_MS_MAX,
        zmq.HANDSHAKE_IVL: LINK_SILENCE_MS_MAX,
        zmq.TCP_KEEPALIVE: 1,
    }
    for option, value in options.items():
        socket.setsockopt(option, value)
    return socket
