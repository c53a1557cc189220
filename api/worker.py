"""gunicorn's gevent worker with an end that fails no request, whatever stands in front of it.

A load balancer's request is lost where the socket it came on is reset: one that waits in a listening socket's queue
when the last process closes that socket, or one sent on an idle connection at the moment it is closed.  So a worker
that is told to end first serves on for ``NOTICE_S``, not ready any more and closing every connection with its
answer.  Where no other process will listen, it then lets no new connection begin, takes in all that had begun, and
only then closes: whoever comes later is refused before anything was sent, and turns to another front end.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import socket
import struct
import sys
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import gevent
import msgspec
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.arbiter import Arbiter
from gunicorn.http import errors
from gunicorn.http.body import Body
from gunicorn.util import write_nonblock
from gunicorn.workers.ggevent import GeventWorker

from api.responses.shapes import ErrorAnswer
from common.clock import SYSTEM_CLOCK
from common.limits import REQUEST_DEADLINE_MS
from common.protocol.failures import Code, Retry

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from flask import Flask

NOTICE_S: Final = 1.5
"""Seconds that an ending worker serves on: load balancers see that it is not ready, its successors start.  Longer
than a front end that refused is left out (``fail_timeout`` in deploy/nginx/queuey.conf): another one is back."""
QUIET_S: Final = 5.0
"""Seconds without a request after which nobody needs to be given notice."""
SETTLE_S: Final = 0.1
"""Seconds for a connection that has begun to be there: several round trips."""
LOOK_S: Final = 0.1
"""Seconds between two looks whether to end."""

_SO_ATTACH_FILTER: Final = 26
_TCP_FLAGS_AT: Final = 13
_SYN: Final = 0x02
_INSTRUCTION: Final = struct.Struct("=HBBI")
_REFUSE_NEW: Final = b"".join(
    _INSTRUCTION.pack(*each)
    for each in (
        (0x30, 0, 0, _TCP_FLAGS_AT),  # load a byte of the segment's head
        (0x45, 0, 1, _SYN),  # skip the next instruction where this bit is not set
        (0x06, 0, 0, 0),  # drop
        (0x06, 0, 0, 0xFFFFFFFF),  # keep
    )
)
"""A packet filter, as Linux's BPF has it: no segment that asks for a new connection gets through."""

_STATUSES: Final = {
    errors.LimitRequestLine: (414, "URI Too Long"),
    errors.ExpectationFailed: (417, "Expectation Failed"),
    errors.LimitRequestHeaders: (431, "Request Header Fields Too Large"),
}
"""Of what can't be read as a request; all else is 400."""
_OURS: Final = (errors.ConfigurationProblem, errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)
"""What the HTTP parser's errors also tell of, and no client can help."""

_going: Final = mmap.mmap(-1, 1)
"""Shared by the master and its workers: 1 when all of them end and nobody will listen on their sockets."""


def watch_master(arbiter: Arbiter) -> None:
    """Let the workers know when the master ends for good, rather than replaces them or is replaced itself."""
    stop = arbiter.stop

    def stop_for_good(graceful: bool = True) -> None:
        if arbiter.reexec_pid == arbiter.master_pid == 0 and not arbiter.systemd:
            _going[0] = 1
        stop(graceful)

    arbiter.stop = stop_for_good


class DrainingWorker(GeventWorker):  # type: ignore[misc]
    """Serves until it is told to end; then as the module says."""

    wsgi: WSGIApplication

    def run(self) -> None:
        """Serve, and return when everything begun was answered or ``graceful_timeout`` is over."""
        self._served_s = SYSTEM_CLOCK.monotonic_s()
        end_waits = cast("Flask", self.wsgi).extensions["end_waits"]
        self.wsgi = partial(self._answer, self.wsgi)
        servers = [self._listen(listener) for listener in self.sockets]
        while self.alive:
            self._pause()
        end_s = SYSTEM_CLOCK.monotonic_s() + self.cfg.graceful_timeout
        self._give_notice()
        end_waits()
        if _going[0]:
            for server in servers:
                refuse_new(server.socket)
            self._pause(SETTLE_S)
            for server in servers:
                take_in(server)
        for server in servers:
            server.close()
        while any(server.pool for server in servers):
            if SYSTEM_CLOCK.monotonic_s() > end_s:
                self._cut_off(servers)
                return
            self._pause()

    def handle_request(self, *arguments: object) -> None:
        """Serve one request."""
        self._served_s = SYSTEM_CLOCK.monotonic_s()
        super().handle_request(*arguments)

    def handle_error(self, request: object, client: socket.socket, address: object, error: BaseException) -> None:
        """Refuse what is no request, in our shape.  Its text stays out of the log: a broken line may hold a key."""
        if not isinstance(error, errors.ParseException) or isinstance(error, _OURS):
            super().handle_error(request, client, address, error)
            return
        self.log.warning("What came was no request: %s", type(error).__name__)
        with contextlib.suppress(OSError):
            write_nonblock(client, refusal_of(error))

    def _answer(
        self, application: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Serve one request; the end of its connection is told with the answer, also where it had come before."""

        if "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ:
            environ["wsgi.input"] = TimelyInput(environ["wsgi.input"])

        def start(*arguments: object) -> object:
            if not self.alive:
                start_response.__self__.force_close()  # type: ignore[attr-defined]
            return start_response(*arguments)  # type: ignore[arg-type]

        return application(environ, cast("StartResponse", start))

    def _listen(self, listener: socket.socket) -> StreamServer:
        listener.setblocking(True)
        server = StreamServer(listener, handle=partial(self.handle, listener), spawn=Pool(self.worker_connections))
        if self.cfg.workers > 1:
            server.max_accept = 1
        server.start()
        return server

    def _give_notice(self) -> None:
        until_s = SYSTEM_CLOCK.monotonic_s() + NOTICE_S
        while (now_s := SYSTEM_CLOCK.monotonic_s()) < until_s and now_s < self._served_s + QUIET_S:
            self._pause()

    def _pause(self, seconds: float = LOOK_S) -> None:
        self.notify()
        gevent.sleep(seconds)

    def _cut_off(self, servers: list[StreamServer]) -> None:
        self.log.warning("Requests were cut off after %s s (pid:%s)", self.cfg.graceful_timeout, self.pid)
        for server in servers:
            server.stop(timeout=1)


class TimelyInput:
    """A request's body that has ``REQUEST_DEADLINE_MS`` to come, so that slow senders hold nothing for long."""

    def __init__(self, stream: Body) -> None:
        self._stream = stream
        self._until_s = SYSTEM_CLOCK.monotonic_s() + REQUEST_DEADLINE_MS / 1000

    @property
    def failed(self) -> bool:
        """Whether it is unknown where the next request begins: gunicorn then closes the connection."""
        return bool(self._stream.failed)

    @failed.setter
    def failed(self, value: bool) -> None:
        self._stream.failed = value

    def read(self, size: int | None = None) -> bytes:
        """Return up to ``size`` bytes.

        Raises:
            TimeoutError: the body is late.
        """
        left_s = max(0.0, self._until_s - SYSTEM_CLOCK.monotonic_s())
        try:
            with gevent.Timeout(left_s, TimeoutError("the body is late")):
                return bytes(self._stream.read(size))
        except TimeoutError:
            self.failed = True
            raise


def refusal_of(error: errors.ParseException) -> bytes:
    """Return the whole answer to what could not be read as a request."""
    status, reason = _STATUSES.get(type(error), (400, "Bad Request"))
    answer = ErrorAnswer(error_msg={"request": reason}, code=Code.INVALID_REQUEST, retry=Retry.NO)
    body = msgspec.json.encode(answer)
    lines = (
        f"HTTP/1.1 {status} {reason}",
        "Connection: close",
        "Content-Type: application/json; charset=utf-8",
        f"Content-Length: {len(body)}",
        "X-Content-Type-Options: nosniff",
    )
    return "\r\n".join((*lines, "", "")).encode("ascii") + body


def refuse_new(listener: socket.socket) -> None:
    """Let no new TCP connection begin, without an answer: its client asks again after a second, and is refused then.

    Those that have begun go on.  A UNIX socket has no name any more by now: the master took it away.
    """
    if listener.family == socket.AF_UNIX or not sys.platform.startswith("linux"):
        return
    program = ctypes.create_string_buffer(_REFUSE_NEW)
    filters = len(_REFUSE_NEW) // _INSTRUCTION.size
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", filters, ctypes.addressof(program)))


def take_in(server: StreamServer) -> None:
    """Accept every connection that waits in the listening socket's queue."""
    server.stop_accepting()
    while arrived := server.do_read():
        server.do_handle(*arrived)
