"""The node's end of the link: requests in, one answer to each, and a drain that fails none.

A request is answered exactly once, whatever its handler does, unless its connection is gone.  What is refused here
was not begun: another node may be asked.
"""

from __future__ import annotations

import asyncio
from asyncio import ensure_future
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import suppress
from functools import partial
from typing import Final, TypeAlias

import msgspec
import structlog

from common.clock import SYSTEM_CLOCK, Clock
from common.limits import (
    DRAIN_MS_MAX,
    IN_FLIGHT_BYTES_PER_NODE_MAX,
    IN_FLIGHT_PER_NODE_MAX,
    WAITERS_PER_NODE_MAX,
)
from common.logs import Throttle
from common.protocol.codec import MalformedFrameError, decode_request, encode_answer, operation_name
from common.protocol.envelope import NO_REQUEST, Request, RequestContext
from common.protocol.failures import Code, Failure, FailureError
from common.protocol.operations import Cancel, Claim, Done, EndWait, ListMembers, Operation, Read
from storage_node.log.waiters import ENDING
from storage_node.peers import Call, Peer
from storage_node.router import Router, Sent

Handler: TypeAlias = Callable[[Operation, RequestContext], Awaitable[msgspec.Struct]]
"""Returns a coroutine, or a future where there is one already; raises ``FailureError`` to refuse.  That of a ``Read``
or ``Claim`` with ``wait_ms`` is cancelled when its client goes away: every ``await`` in it must bear that."""

SWEEP_S: Final = 1.0
"""Seconds between two looks for peers that went away."""
PEER_FORGOTTEN_S: Final = 60.0
"""Seconds after which a silent peer that is owed nothing is forgotten."""
QUIET_S: Final = 0.3
"""Seconds without a frame after which a drained node may close its socket."""
QUIET_S_MAX: Final = 2.0
"""Seconds that a drained node waits for quiet at most."""
FAREWELL_S: Final = 0.5
"""Seconds between two goodbyes of a draining node, which show whether anybody is left."""
UNHEARD_S: Final = 1.0
"""Seconds that a draining node goes on with what nobody waits for any more."""

_CAN_WAIT: Final = (Read, Claim)

MOVED: Final = Failure(Code.MOVED, "node", "is going away")
STALE: Final = Failure(Code.UNAVAILABLE, "request", "arrived after its deadline", 100)
OVERLOADED: Final = Failure(Code.OVERLOADED, "node", "has too many requests under way", 1_000)
INTERNAL: Final = Failure(Code.INTERNAL, "node", "failed unexpectedly")
CUT_OFF: Final = Failure(Code.OUTCOME_UNKNOWN, "node", "went away before it was done")

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Counters:
    """What the node has seen since it started."""

    def __init__(self) -> None:
        self.requests = 0
        self.malformed = 0
        self.stale = 0
        self.overloaded = 0
        self.moved = 0
        self.cancelled = 0
        self.undeliverable = 0
        self.internal = 0
        self.link_refused = 0


class NodeServer:
    """Answers operations that arrive on one endpoint; lives on the event loop that ``start`` was called from."""

    def __init__(
        self,
        endpoint: str,
        handle: Handler,
        *,
        clock: Clock = SYSTEM_CLOCK,
        end_waits: Callable[[], None] = lambda: None,
        in_flight_max: int = IN_FLIGHT_PER_NODE_MAX,
        waiting_max: int = WAITERS_PER_NODE_MAX,
        curve_secret: str = "",
        allowed_keys: Collection[str] = (),
    ) -> None:
        """``end_waits`` is called when draining begins: what waits then answers at once what there is.

        With ``curve_secret`` (Z85) the link is encrypted; only who has the secret of one of ``allowed_keys`` gets in.
        """
        self._handle = handle
        self._clock = clock
        self._end_waits = end_waits
        self._in_flight_max = in_flight_max
        self._waiting_max = waiting_max
        self._router = Router(
            endpoint,
            self._accept,
            curve_secret=curve_secret,
            allowed_keys=allowed_keys,
            on_refusal=self._refused_link,
            now_s=clock.monotonic_s,
        )
        self.counters = Counters()
        self.in_flight = 0
        self.waiting = 0
        self._bytes = 0
        self._peers: dict[bytes, Peer] = {}
        self._draining = False
        self._heard_s = 0.0
        self._idle = asyncio.Event()
        self._idle.set()
        self._malformed_lines = Throttle()
        self._internal_lines = Throttle()
        self._sweeper: asyncio.Task[None] | None = None

    def start(self) -> str:
        """Bind and begin to answer; return the endpoint as bound (a port ``*`` is filled in).

        Raises:
            OSError: the endpoint is in use or no endpoint of this machine.
        """
        bound = self._router.open()
        self._loop = asyncio.get_running_loop()
        self._sweeper = self._loop.create_task(self._sweep())
        return bound

    async def drain(self) -> None:
        """Send new operations elsewhere and end what is under way, within ``DRAIN_MS_MAX``."""
        self._draining = True
        for peer in tuple(self._peers.values()):
            self._send(peer.identity, encode_answer(NO_REQUEST, MOVED))
        self._end_waits()
        await self._until_answered(DRAIN_MS_MAX / 1000)
        for call in self._calls():
            call.cancel(MOVED if call.reads_only else CUT_OFF)
        await self._until_idle(QUIET_S)
        await self._until_quiet()

    def close(self) -> None:
        """Let go of the socket; what is still under way is cancelled and not answered."""
        if not self._router.is_open:
            return
        for call in self._calls():
            call.cancel(None)
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._router.close()

    def _refused_link(self) -> int:
        self.counters.link_refused += 1
        return self.counters.link_refused

    # reading

    def _accept(self, identity: bytes, frame: bytes, beyond: int) -> None:
        self._heard_s = now_s = self._clock.monotonic_s()
        try:
            if beyond:
                raise MalformedFrameError("more than one frame")
            request = decode_request(frame)
        except MalformedFrameError as error:
            self._refuse_malformed(identity, error, now_s)
            return
        peer = self._peers.get(identity)
        if peer is None:
            peer = self._peers[identity] = Peer(identity)
        peer.heard_s = now_s
        if type(request.operation) is Cancel:
            self._cancel(peer, request.operation.request_id)
        elif type(request.operation) is EndWait:
            _end_wait(peer, request.operation.request_id)
        elif request.request_id in peer.calls:
            self._refuse_malformed(identity, MalformedFrameError("request id is in use"), now_s)
        else:
            self._admit(peer, request, len(frame), now_s)

    def _admit(self, peer: Peer, request: Request, size: int, now_s: float) -> None:
        self.counters.requests += 1
        operation = request.operation
        left_ms = request.budget_ms - peer.offset.waited_ms(request.sent_ms, int(now_s * 1000))
        waiting = isinstance(operation, _CAN_WAIT) and operation.wait_ms > 0
        refusal = self._refusal(operation, waiting=waiting, left_ms=left_ms, size=size)
        if refusal is not None:
            self._send(peer.identity, encode_answer(request.request_id, refusal))
            return
        call = Call(
            peer,
            request.request_id,
            operation=operation_name(operation),
            waiting=waiting,
            reads_only=operation.reads_only,
            size=size,
        )
        context = RequestContext(
            deadline_s=now_s + left_ms / 1000, log_id=request.log_id, traceparent=request.traceparent
        )
        self._begin(call, operation, context)

    def _refusal(self, operation: Operation, *, waiting: bool, left_ms: int, size: int) -> Failure | None:
        if left_ms <= 0:
            self.counters.stale += 1
            return STALE
        if self._draining and not isinstance(operation, ListMembers):
            self.counters.moved += 1
            return MOVED
        full = self.waiting >= self._waiting_max if waiting else self.in_flight >= self._in_flight_max
        if full or self._bytes + size > IN_FLIGHT_BYTES_PER_NODE_MAX:
            self.counters.overloaded += 1
            return OVERLOADED
        return None

    # working

    def _begin(self, call: Call, operation: Operation, context: RequestContext) -> None:
        call.peer.calls[call.request_id] = call
        self._count(call, 1)
        try:
            pending = _with_patience(call, self._handle(operation, context))
        except FailureError as refusal:
            self._end(call, refusal.failure)
            return
        except Exception as error:  # whatever a handler does wrong, its client is answered
            self._end(call, self._internal(call, error))
            return
        call.future = self._loop.create_task(pending) if isinstance(pending, Coroutine) else ensure_future(pending)
        call.future.add_done_callback(partial(self._finished, call))

    def _finished(self, call: Call, future: asyncio.Future[msgspec.Struct]) -> None:
        if future.cancelled():
            self._end(call, call.ending or INTERNAL)
            return
        error = future.exception()
        if error is None:
            self._end(call, future.result())
        elif isinstance(error, FailureError):
            self._end(call, error.failure)
        else:
            self._end(call, self._internal(call, error))

    def _end(self, call: Call, result: msgspec.Struct) -> None:
        call.peer.calls.pop(call.request_id, None)
        self._count(call, -1)
        if call.silent or not self._router.is_open:
            return
        try:
            frame = encode_answer(call.request_id, result)
        except (MalformedFrameError, TypeError, ValueError) as error:
            frame = encode_answer(call.request_id, self._internal(call, error))
        self._send(call.peer.identity, frame)

    def _count(self, call: Call, change: int) -> None:
        if call.waiting:
            self.waiting += change
        else:
            self.in_flight += change
        self._bytes += change * call.bytes
        if self.in_flight or self.waiting:
            self._idle.clear()
        else:
            self._idle.set()

    def _cancel(self, peer: Peer, request_id: int) -> None:
        call = peer.calls.get(request_id)
        if call is not None and call.waiting:
            self.counters.cancelled += 1
            call.cancel(None)

    # answering

    def _send(self, identity: bytes, frame: bytes) -> None:
        sent = self._router.send(identity, frame)
        if sent is Sent.FULL or sent is Sent.GONE:
            self.counters.undeliverable += 1
        if sent is Sent.GONE:
            self._gone(identity)

    def _gone(self, identity: bytes) -> None:
        peer = self._peers.pop(identity, None)
        for call in tuple(peer.calls.values()) if peer else ():
            call.silent = True
            if call.waiting:
                self.counters.cancelled += 1
                call.cancel(None)

    async def _sweep(self) -> None:
        alive = encode_answer(NO_REQUEST, Done())
        while True:
            await asyncio.sleep(SWEEP_S)
            now_s = self._clock.monotonic_s()
            for peer in tuple(self._peers.values()):
                silent_s = now_s - peer.heard_s
                if silent_s > SWEEP_S and peer.is_waiting():
                    self._send(peer.identity, alive)
                elif silent_s > PEER_FORGOTTEN_S and not peer.calls:
                    del self._peers[peer.identity]

    # draining

    def _calls(self) -> list[Call]:
        return [call for peer in tuple(self._peers.values()) for call in tuple(peer.calls.values())]

    async def _until_answered(self, seconds: float) -> None:
        """Return when nothing is under way, or in time, or soon after nobody is left who waits for an answer."""
        end_s = self._clock.monotonic_s() + seconds
        while self._peers and (left_s := end_s - self._clock.monotonic_s()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), min(FAREWELL_S, left_s))
                return
            for peer in tuple(self._peers.values()) if left_s > FAREWELL_S else ():
                self._send(peer.identity, encode_answer(NO_REQUEST, MOVED))
        await self._until_idle(0 if self._peers else UNHEARD_S)

    async def _until_idle(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            _log.warning("node_drain_cut_off", in_flight=self.in_flight, waiting=self.waiting)

    async def _until_quiet(self) -> None:
        for _ in range(round(QUIET_S_MAX / QUIET_S)):
            heard_s = self._heard_s
            await asyncio.sleep(QUIET_S)
            if self._heard_s == heard_s:
                return

    # what went wrong

    def _refuse_malformed(self, identity: bytes, error: MalformedFrameError, now_s: float) -> None:
        self.counters.malformed += 1
        held = self._malformed_lines.admit(now_s)
        if held is not None:
            _log.warning("frame_malformed", reason=error.reason, held_back=held, total=self.counters.malformed)
        if error.request_id:
            failure = Failure(Code.INVALID_REQUEST, "frame", error.reason)
            self._send(identity, encode_answer(error.request_id, failure))

    def _internal(self, call: Call, error: BaseException) -> Failure:
        self.counters.internal += 1
        held = self._internal_lines.admit(self._clock.monotonic_s())
        if held is not None:
            _log.error("operation_failed_unexpectedly", operation=call.operation, held_back=held, exc_info=error)
        return INTERNAL


def _with_patience(call: Call, pending: Awaitable[msgspec.Struct]) -> Awaitable[msgspec.Struct]:
    """Make a task of what waits, so that its wait alone can be ended."""
    if call.patience is None:
        return pending
    token = ENDING.set(call.patience)
    try:
        return asyncio.ensure_future(pending)
    finally:
        ENDING.reset(token)


def _end_wait(peer: Peer, request_id: int) -> None:
    call = peer.calls.get(request_id)
    if call is not None and call.patience is not None:
        call.patience.end()
