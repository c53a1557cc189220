"""One DEALER socket to one storage node, read from gevent's hub.

Every message is one frame, sent without blocking, so greenlets never interleave and never wait to send.  What the
greenlets of one turn of the hub have to send is given to ZeroMQ together: each time that its thread finds something
after a pause, four threads of two processes wake up one after the other.  Answers are taken in a callback of the hub
and handed to the greenlet that waits for them: no greenlet per socket.  A socket's file descriptor tells only that
something happened, once: whoever has read or sent must look again.

That ZeroMQ took a frame means nothing; only the answer does.  The connection's monitor tells when it broke: what was
given to ZeroMQ until then and has no answer is lost, and its outcome unknown.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

import gevent
import structlog
import zmq
from gevent.hub import Waiter, get_hub

from api.routing import Lost
from common.addresses import is_local
from common.limits import FRAME_BYTES_MAX, LINK_HEARTBEAT_MS, LINK_SILENCE_MS_MAX
from common.logs import Throttle
from common.protocol.codec import MalformedFrameError, decode_answer
from common.protocol.envelope import NO_REQUEST, Answer

if TYPE_CHECKING:
    from gevent._types import _IoWatcher as IoWatcher

Context: TypeAlias = "zmq.Context[zmq.Socket[bytes]]"

FRAMES_PER_TURN_MAX: Final = 64
"""Frames read before other greenlets may run."""
_READ: Final = 1
_EVENT: Final = struct.Struct("=hi")
_REFUSED: Final = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "this front end's key is not allowed",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "only one side is encrypted, or the node has another key",
}
_WATCHED: Final = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


_NOBLOCK: Final = int(zmq.NOBLOCK)
_EVENTS: Final = int(zmq.EVENTS)
_POLLIN: Final = int(zmq.POLLIN)
_RCVMORE: Final = int(zmq.RCVMORE)
# Plain numbers: combining and comparing pyzmq's enumerations costs as much as a small call of ZeroMQ.


class Pending:
    """Where one greenlet waits for one answer: a third of the cost of gevent's own result with its time-out."""

    __slots__ = ("_loop", "_waiter")

    def __init__(self) -> None:
        hub = get_hub()
        self._loop = hub.loop
        self._waiter: Waiter[Answer | Lost | None] = Waiter(hub)

    def set(self, outcome: Answer | Lost) -> None:
        """Hand the outcome over, once; from any greenlet of this thread."""
        self._loop.run_callback(self._waiter.switch, outcome)

    def wait(self, seconds: float) -> Answer | Lost | None:
        """Return the outcome, or ``None`` when time is up; to be called once."""
        timer = self._loop.timer(seconds)
        timer.start(self._waiter.switch, None)
        try:
            return self._waiter.get()
        finally:
            timer.stop()
            timer.close()


class Connection:
    """A socket, its state and the requests that wait for an answer on it.  Belongs to one thread's hub."""

    def __init__(
        self,
        context: Context,
        address: str,
        *,
        on_change: Callable[[], None],
        now_s: Callable[[], float],
        curve_key: str = "",
        curve_secret: str = "",
    ) -> None:
        """``on_change`` is called from the hub when the connection comes up or breaks: it must not wait.

        ``curve_key`` is the node's public key; with it the connection is encrypted, and ``curve_secret``, this
        front end's own, is needed.  An address beyond this machine is not connected without.
        """
        self.address = address
        self.curve_key = curve_key
        self._on_change = on_change
        self._now_s = now_s
        self._pending: dict[int, Pending] = {}
        self._outbox: list[tuple[int, bytes]] = []
        """What this turn of the hub has to send."""
        self._up = False
        self._leaving = False
        self.left_s = -math.inf
        """When the node last said goodbye, monotonic."""
        self._closed = False
        self._look_again = False
        self._malformed_lines = Throttle()
        self._refused_lines = Throttle()
        self._loop = gevent.get_hub().loop
        self._socket = _dealer(context)
        is_secured = _secure(self._socket, curve_key, curve_secret)
        self._monitor = self._socket.get_monitor_socket(_WATCHED)
        self._watchers = [
            self._watch(self._socket, self._on_readable),
            self._watch(self._monitor, self._on_event),
        ]
        if is_secured or is_local(address):
            self._socket.connect(address)
        else:
            self._refused("it has no key that both sides know, which an address beyond this machine needs")
        self._loop.run_callback(self._on_event)

    @property
    def usable(self) -> bool:
        """Whether a request sent now has a chance."""
        return self._up and not self._leaving

    @property
    def busy(self) -> bool:
        """Whether anybody waits for an answer."""
        return bool(self._pending)

    def send(self, request_id: int, frame: bytes) -> Pending:
        """Send a request at the end of this turn, and return where its answer will be, or ``Lost.NOT_SENT``."""
        pending = self._pending[request_id] = Pending()
        self._put(request_id, frame)
        return pending

    def post(self, frame: bytes) -> None:
        """Send what has no answer; it may be lost."""
        if self._up:
            self._put(NO_REQUEST, frame)

    def forget(self, request_id: int) -> None:
        """Drop a request's place: an answer that comes later is ignored."""
        self._pending.pop(request_id, None)

    def close(self) -> None:
        """Let go of the socket; what still waits gets ``Lost.PEER_GONE``."""
        if self._closed:
            return
        self._closed = True
        for watcher in self._watchers:
            watcher.stop()
            watcher.close()
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)
        self._lose_pending()

    def _put(self, request_id: int, frame: bytes) -> None:
        if not self._outbox:
            self._loop.run_callback(self._send_all)
        self._outbox.append((request_id, frame))

    # in the hub

    def _send_all(self) -> None:
        """Give ZeroMQ what is wanted still."""
        outbox, self._outbox = self._outbox, []
        for request_id, frame in outbox:
            if request_id != NO_REQUEST and request_id not in self._pending:
                continue
            try:
                self._socket.send(frame, _NOBLOCK)
            except zmq.Again:
                self._lose(request_id, Lost.NOT_SENT)
        if outbox:
            self._look()

    def _watch(self, socket: zmq.Socket[bytes], callback: Callable[[], None]) -> IoWatcher:
        watcher = self._loop.io(socket.fileno(), _READ)
        watcher.start(callback)
        return watcher

    def _look(self) -> None:
        if not self._look_again:
            self._look_again = True
            self._loop.run_callback(self._on_readable)

    def _on_readable(self) -> None:
        self._look_again = False
        for _ in range(FRAMES_PER_TURN_MAX):
            if self._closed or not self._take_one():
                return
        self._look()

    def _take_one(self) -> bool:
        socket = self._socket
        events = socket.get(_EVENTS)  # asking costs less than the exception of a socket that has nothing
        if not isinstance(events, int) or not events & _POLLIN:
            return False
        frame, beyond = socket.recv(_NOBLOCK), 0
        while socket.get(_RCVMORE):
            socket.recv(_NOBLOCK)
            beyond += 1
        try:
            if beyond:
                raise MalformedFrameError("more than one frame")
            self._answered(decode_answer(frame))
        except MalformedFrameError as error:
            held = self._malformed_lines.admit(self._now_s())
            if held is not None:
                _log.warning("answer_malformed", node=self.address, reason=error.reason, held_back=held)
        return True

    def _answered(self, answer: Answer) -> None:
        if answer.request_id == NO_REQUEST:
            if not answer.ok:
                self._leaving, self.left_s = True, self._now_s()
            return
        pending = self._pending.pop(answer.request_id, None)
        if pending is not None:
            pending.set(answer)

    def _on_event(self) -> None:
        while not self._closed:
            try:
                event, _ = self._monitor.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            kind, _ = _EVENT.unpack(event)
            if kind == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._up, self._leaving = True, False
            elif kind in _REFUSED:
                self._refused(_REFUSED[kind])
                continue
            else:
                self._broke()
            self._on_change()

    def _refused(self, reason: str) -> None:
        held = self._refused_lines.admit(self._now_s())
        if held is not None:
            _log.warning("node_link_refused", node=self.address, reason=reason, held_back=held)

    def _broke(self) -> None:
        self._up = False
        while not self._closed and self._take_one():
            pass
        self._lose_pending()

    def _lose_pending(self) -> None:
        outbox, self._outbox = self._outbox, []
        for request_id, _ in outbox:
            self._lose(request_id, Lost.NOT_SENT)
        for request_id in tuple(self._pending):
            self._lose(request_id, Lost.PEER_GONE)

    def _lose(self, request_id: int, why: Lost) -> None:
        pending = self._pending.pop(request_id, None)
        if pending is not None:
            pending.set(why)


def _secure(socket: zmq.Socket[bytes], curve_key: str, curve_secret: str) -> bool:
    """Encrypt the link where both keys are known; return whether it is."""
    if not curve_key or not curve_secret:
        return False
    socket.setsockopt(zmq.CURVE_SERVERKEY, curve_key.encode())
    socket.setsockopt(zmq.CURVE_SECRETKEY, curve_secret.encode())
    socket.setsockopt(zmq.CURVE_PUBLICKEY, zmq.curve_public(curve_secret.encode()))
    return True


def _dealer(context: Context) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.DEALER)
    options = {
        zmq.IMMEDIATE: 1,
        zmq.SNDHWM: 1_000,
        zmq.RCVHWM: 0,
        zmq.LINGER: 0,
        zmq.MAXMSGSIZE: FRAME_BYTES_MAX,
        zmq.HEARTBEAT_IVL: LINK_HEARTBEAT_MS,
        zmq.HEARTBEAT_TIMEOUT: LINK_SILENCE_MS_MAX,
        zmq.HEARTBEAT_TTL: LINK_SILENCE_MS_MAX,
        zmq.HANDSHAKE_IVL: LINK_SILENCE_MS_MAX,
        zmq.RECONNECT_IVL: 50,
        zmq.RECONNECT_IVL_MAX: 500,
        zmq.TCP_KEEPALIVE: 1,
    }
    for option, value in options.items():
        socket.setsockopt(option, value)
    return socket
