"""What a node measures and logs of each operation, and of each call of its store; and where that is shown.

Nothing else in the node knows of it: the handler and the open store are wrapped.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Final, ParamSpec, TypeVar

import msgspec
from prometheus_client import start_http_server
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from common.clock import Clock
from common.identifiers import TICKS_PER_MS, ticks_of
from common.logs import LineWriter
from common.metrics import DROPS, CounterName, GaugeName, HistogramName, Meter
from common.protocol.codec import operation_name
from common.protocol.envelope import RequestContext
from common.protocol.failures import FailureError
from common.protocol.operations import (
    ApplicationOperation,
    Claim,
    Claims,
    ListMembers,
    Operation,
    Ping,
    Published,
    QueueOperation,
    Read,
)
from common.tracing import Tracer
from storage_node.store.errors import StoreError
from storage_node.store.interface import Store

P = ParamSpec("P")
T = TypeVar("T")
Handler = Callable[[Operation, RequestContext], Awaitable[msgspec.Struct]]

LOOP_LAG_EVERY_S: Final = 0.5
TICKS_PER_S: Final = 1_000 * TICKS_PER_MS
_CAN_WAIT: Final = (Read, Claim)
_UNLOGGED: Final = (ListMembers, Ping)
# Tuples: a union in the code is made anew by every call, which costs more than the question.

WAITING: Final = "_waiting"
"""Behind the name of an operation that was asked to wait: its time says nothing of how fast the node is."""
STORE_CALLS: Final = tuple(name for name, call in vars(Store).items() if inspect.iscoroutinefunction(call))


class Metered:
    """A handler that measures and logs what it hands on."""

    def __init__(
        self, handle: Handler, meter: Meter, *, applications: Collection[str], clock: Clock, lines: LineWriter
    ) -> None:
        self._handle = handle
        self._meter = meter
        self._applications = applications
        self._clock = clock
        self._lines = lines

    async def __call__(self, operation: Operation, context: RequestContext) -> msgspec.Struct:
        """Answer an operation as the handler does."""
        begun_s = self._clock.monotonic_s()
        try:
            reply = await self._handle(operation, context)
        except BaseException as error:
            self._note(operation, context, _code_of(error), self._clock.monotonic_s() - begun_s)
            raise
        if type(reply) is Claims:
            self._observe_lag(operation, reply)
        code = _refused_among(reply) if type(reply) is Published else ""
        self._note(operation, context, code, self._clock.monotonic_s() - begun_s)
        return reply

    def _note(self, operation: Operation, context: RequestContext, code: str, elapsed_s: float) -> None:
        name = operation_name(operation)
        application = operation.application if isinstance(operation, ApplicationOperation) else ""
        label = application if application in self._applications else ""
        waits = isinstance(operation, _CAN_WAIT) and operation.wait_ms > 0
        self._meter.observe(HistogramName.NODE, elapsed_s, label, name + WAITING if waits else name)
        if code:
            self._meter.count(CounterName.NODE_ERRORS, label, name, code)
        elif isinstance(operation, _UNLOGGED):
            return
        self._lines.write(
            event="operation",
            request_id=context.log_id,
            traceparent=context.traceparent,
            operation=name,
            application=application,
            queue=operation.queue if isinstance(operation, QueueOperation) else "",
            code=code,
            ms=round(elapsed_s * 1000, 2),
        )

    def _observe_lag(self, operation: Operation, reply: Claims) -> None:
        oldest = min(
            (claimed.message.message_id for claimed in reply.claims if claimed.deliveries == 1), default=None
        )
        if oldest is not None and isinstance(operation, Claim) and operation.application in self._applications:
            lag_s = max(0, self._clock.now_ticks() - ticks_of(oldest)) / TICKS_PER_S
            self._meter.observe(HistogramName.CLAIM_LAG, lag_s, operation.application)


class Traced:
    """A handler with a span around each operation; there is one only where tracing is on."""

    def __init__(self, handle: Handler, tracer: Tracer) -> None:
        self._handle = handle
        self._tracer = tracer

    async def __call__(self, operation: Operation, context: RequestContext) -> msgspec.Struct:
        """Answer an operation as the handler does, which is told of the span as its trace context."""
        span = self._tracer.begin(operation_name(operation), traceparent=context.traceparent)
        try:
            reply = await self._handle(operation, msgspec.structs.replace(context, traceparent=span.traceparent))
        except BaseException as error:
            span.end(failed=_code_of(error), attributes=_names_of(operation, context))
            raise
        span.end(failed="", attributes=_names_of(operation, context))
        return reply


def _code_of(error: BaseException) -> str:
    """Return what a metric, a log line and a span call the end of an operation that has no reply."""
    if isinstance(error, FailureError):
        return error.failure.code
    return "cancelled" if isinstance(error, asyncio.CancelledError) else "internal"


def _refused_among(published: Published) -> str:
    return next((one.failure.code for one in published.results if one.failure is not None), "")


def _names_of(operation: Operation, context: RequestContext) -> dict[str, str | int]:
    return {
        "queuey.request_id": context.log_id,
        "queuey.application": operation.application if isinstance(operation, ApplicationOperation) else "",
        "queuey.queue": operation.queue if isinstance(operation, QueueOperation) else "",
    }


def measure_store(store: Store, meter: Meter, clock: Clock) -> None:
    """Put a stop watch around every call of an open store, for as long as it is open."""
    for name in STORE_CALLS:
        setattr(store, name, _timed(getattr(store, name), name, meter, clock))


def _timed(call: Callable[P, Awaitable[T]], name: str, meter: Meter, clock: Clock) -> Callable[P, Awaitable[T]]:
    is_append, is_swap = name in {"append_plain", "append_fenced"}, name == "swap_delivery"

    async def timed(*arguments: P.args, **named: P.kwargs) -> T:
        begun_s = clock.monotonic_s()
        if is_append and isinstance(arguments[2], list | tuple):
            meter.observe(HistogramName.APPEND_MESSAGES, len(arguments[2]))
        try:
            answer = await call(*arguments, **named)
        except StoreError as error:
            meter.count(CounterName.STORE_ERRORS, name, type(error).__name__)
            raise
        finally:
            meter.observe(HistogramName.STORE, clock.monotonic_s() - begun_s, name)
        if is_swap:
            meter.count(CounterName.DELIVERY_ROUNDS)
            if not answer:
                meter.count(CounterName.DELIVERY_CONFLICTS)
        return answer

    return timed


async def measure_loop(meter: Meter, clock: Clock) -> None:
    """Measure by how much the event loop is late, for ever."""
    while True:
        due_s = clock.monotonic_s() + LOOP_LAG_EVERY_S
        await asyncio.sleep(LOOP_LAG_EVERY_S)
        meter.observe(HistogramName.LOOP_LAG, max(0.0, clock.monotonic_s() - due_s))


class Drops(Collector):
    """What the server counts by itself, as it stands when somebody asks."""

    def __init__(self, read: Callable[[], dict[str, int]]) -> None:
        self._read = read

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Return the counters."""
        family = CounterMetricFamily(*DROPS[:2], labels=DROPS.labels)
        for reason, value in self._read().items():
            family.add_metric((reason,), value)
        yield family


class Exposition:
    """Shows a meter's registry on an address of its own, from a thread of its own."""

    def __init__(self, meter: Meter, *, in_flight: Callable[[], float], waiting: Callable[[], float]) -> None:
        meter.gauge(GaugeName.NODE_IN_FLIGHT).set_function(in_flight)
        meter.gauge(GaugeName.NODE_WAITING).set_function(waiting)
        self._meter = meter
        self._stop: Callable[[], None] = _nothing

    def start(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            OSError: the address is in use or none of this machine.
        """
        assert self._meter.registry is not None
        server, thread = start_http_server(port, host, self._meter.registry)

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        self._stop = stop

    def close(self) -> None:
        """Stop listening."""
        self._stop()
        self._stop = _nothing


def _nothing() -> None:
    return
