"""What every route needs: who asks, the way to a storage node, and what is noted for the request's log line."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, Protocol, TypeVar

import msgspec
from flask import request

from api.auth.authenticate import Authenticator
from api.rates import Rates
from api.routes.known_queues import KnownQueues
from api.routes.streams_shared import SharedReads
from api.serial_ids import SerialIds
from api.validation.values import is_name
from common.clock import Clock, ticks_to_unix_ms
from common.limits import STREAMS_PER_PROCESS_MAX
from common.principals import application_principal
from common.protocol.failures import Code, Failure, FailureError, refuse
from common.protocol.operations import Caller, Operation
from common.settings import Settings

Reply = TypeVar("Reply", bound=msgspec.Struct)

_TRACEPARENT_CHARS: Final = 55
HEADERS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""Answers are data: never sniffed, kept by caches, shown as pages or framed."""
_served: Final[ContextVar[Note]] = ContextVar("served")


class NodeClient(Protocol):
    """The way to the storage nodes."""

    def call(
        self,
        operation: Operation,
        *,
        wait_ms: int = 0,
        fail_over: bool = False,
        request_id: str = "",
        traceparent: str = "",
    ) -> msgspec.Struct:
        """Return the operation's reply.

        Raises:
            FailureError: it was refused, no node could take it, or its outcome is unknown.
        """

    def ready(self) -> bool:
        """Say whether a node and its store answer."""


class Note:
    """What the log line of a request says beyond what HTTP shows."""

    __slots__ = ("application", "body_bytes", "code", "headers", "queue", "request_id", "route", "waits")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.application = ""
        self.queue = ""
        self.route = ""
        self.code = ""
        self.body_bytes = 0
        self.waits = False
        """Was a node asked to wait for messages?"""
        self.headers: tuple[tuple[str, str], ...] = HEADERS


class FrontEnd:
    """One front-end process."""

    def __init__(
        self, settings: Settings, node_client: NodeClient, clock: Clock, *, authenticator: Authenticator
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.rates = Rates(settings.applications, workers=settings.api.workers)
        self.known_queues = KnownQueues()
        self.streams = threading.BoundedSemaphore(STREAMS_PER_PROCESS_MAX)
        self.is_serving: Callable[[], bool] = _always
        """Whether this process goes on serving; streams end when it does not."""
        self.shared_reads = SharedReads(is_serving=lambda: self.is_serving())  # noqa: PLW0108 -- it is set anew in each worker
        self.node_client = node_client
        self.ids = SerialIds()
        self._authenticator = authenticator

    @property
    def body_bytes_max(self) -> int:
        """Bytes that one message of the application being served may have."""
        return self.rates.body_bytes_max(note().application, self.settings.api.body_bytes_max)

    def caller(self, application: str) -> Caller:
        """Return who asks something of an application.

        Raises:
            AuthError: a credential does not count.
            FailureError: ``not_found``: there is no such application; ``quota_exceeded``: it asks too often.
        """
        environ = request.environ
        note().application = application
        link = request.args.get("link") if "link=" in environ.get("QUERY_STRING", "") else None
        caller = self._authenticator.authenticate(
            application,
            authorization=environ.get("HTTP_AUTHORIZATION"),
            link=link,
            now_ms=ticks_to_unix_ms(self.clock.now_ticks()),
        )
        if application not in self.settings.applications:
            raise refuse(Code.NOT_FOUND, "InvalidApplication", "no such application")
        self.rates.admit(application, self.clock.monotonic_s())
        return caller

    def queue_caller(self, application: str, queue: str) -> Caller:
        """Return who asks something of a queue.

        Raises:
            AuthError: a credential does not count.
            FailureError: ``not_found``, or ``queue_not_found`` (to others than the application
                ``access_denied``): no queue can have this name.
        """
        caller = self.caller(application)
        note().queue = queue[:64]
        if not is_name(queue):
            if application_principal(application) in caller.principals:
                raise refuse(Code.QUEUE_NOT_FOUND, "InvalidQueueName", "no such queue")
            raise refuse(Code.ACCESS_DENIED, "access", "The caller may not do this.")
        return caller

    def ask(
        self, operation: Operation, reply_type: type[Reply], *, wait_ms: int = 0, fail_over: bool = False
    ) -> Reply:
        """Return a storage node's reply.

        Raises:
            FailureError: it was refused, no node could take it, or its outcome is unknown.
        """
        note().waits = wait_ms > 0
        return self.ask_as(
            note().request_id,
            operation,
            reply_type,
            wait_ms=wait_ms,
            fail_over=fail_over,
            traceparent=traceparent(request.environ.get("HTTP_TRACEPARENT", "")),
        )

    def ask_as(
        self,
        request_id: str,
        operation: Operation,
        reply_type: type[Reply],
        *,
        wait_ms: int = 0,
        fail_over: bool = False,
        traceparent: str = "",
    ) -> Reply:
        """Return a storage node's reply for a request that may have been answered in part already.

        Raises:
            FailureError: it was refused, no node could take it, or its outcome is unknown.
        """
        reply = self.node_client.call(
            operation, wait_ms=wait_ms, fail_over=fail_over, request_id=request_id, traceparent=traceparent
        )
        if not isinstance(reply, reply_type):
            raise FailureError(Failure(Code.INTERNAL, "node", f"answered {type(reply).__name__}"))
        return reply


def begin(fresh: Note) -> None:
    """Make this the note of the request that is served from now on."""
    _served.set(fresh)


def note() -> Note:
    """Return the note of the request being served."""
    return _served.get()


def traceparent(text: str) -> str:
    """Return a W3C trace context that can be passed on, empty where there is none."""
    return text if len(text) == _TRACEPARENT_CHARS and text.isascii() and text.isprintable() else ""


def _always() -> bool:
    return True
