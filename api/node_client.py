"""The front end's end of the link: carries operations to storage nodes and brings back their replies.

Which node and which attempt is decided in ``api.routing``; this module does what it says, under gevent, with one
connection per node.  Sockets are made by the first call in a process, never before a fork.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import gevent
import msgspec
import structlog
import zmq
from gevent.event import Event

from api.node_client_connection import Connection
from api.pressure import Pressure
from api.routing import (
    PATIENCE_S,
    RESTART_PATIENCE_S,
    Call,
    Lost,
    Outcome,
    Pause,
    Send,
    call_of,
    route,
)
from common.clock import SYSTEM_CLOCK, Clock
from common.limits import (
    CONNECT_DEADLINE_MS,
    IN_FLIGHT_PER_NODE_MAX,
    MEMBERS_REFRESH_MS,
    PUBLISH_DEADLINE_MS,
    REQUEST_DEADLINE_MS,
)
from common.link_keys import Seed, parse_seed
from common.protocol.codec import MalformedFrameError, encode_request, type_answer
from common.protocol.envelope import NO_REQUEST, Answer, Request
from common.protocol.failures import Code, Failure, FailureError
from common.protocol.operations import (
    Cancel,
    Claim,
    EndWait,
    ListMembers,
    Member,
    Members,
    Operation,
    Ping,
    Publish,
    Read,
)

FIRST_REFRESH_S: Final = 0.05
"""Seconds between questions for the members until the first answer."""
HOPELESS_S: Final = 5.0
"""Seconds without any node after which calls fail almost at once instead of waiting for one."""
HOPELESS_PATIENCE_S: Final = 0.2
"""Seconds that a call waits for a node then."""

_OVERLOADED: Final = Failure(Code.OVERLOADED, "node", "too many requests are under way", 1_000)
_UNREADABLE: Final = Failure(Code.INTERNAL, "node", "answered what this front end can't read")
_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Errand(NamedTuple):
    """One call and what each of its attempts carries."""

    call: Call
    operation: Operation
    budget_ms: int
    """Besides the operation's own wait."""
    log_id: str = ""
    traceparent: str = ""


class NodeClient:
    """Calls operations on whichever node serves them.

    Belongs to one native thread of the process that made the first call; any number of greenlets may call at once.
    """

    def __init__(
        self,
        seeds: Sequence[str],
        *,
        clock: Clock = SYSTEM_CLOCK,
        curve_secret: str = "",
        on_lost: Callable[[str, Lost], None] = lambda _node, _why: None,
    ) -> None:
        """``seeds`` are nodes to ask for the members, ``endpoint`` or ``endpoint key``; none is connected before the
        first call.  ``curve_secret`` is this front end's own key (Z85), needed where the nodes have keys.
        ``on_lost`` is told the address of the node for each request that got no answer.
        """
        self._seeds = tuple(_seed_member(parse_seed(seed)) for seed in dict.fromkeys(seeds))
        self._curve_secret = curve_secret
        self._on_lost = on_lost
        self._clock = clock
        self._pressure = Pressure()
        self._pid = 0

    def call(
        self,
        operation: Operation,
        *,
        wait_ms: int = 0,
        fail_over: bool = False,
        request_id: str = "",
        traceparent: str = "",
    ) -> msgspec.Struct:
        """Return the reply, of the type ``operation.Reply``.

        ``wait_ms`` is what the operation itself asks to wait, ``fail_over`` says that it may be done twice without
        harm (operations that only read always may).  A greenlet that is killed here makes the node forget a
        waiting request.

        Raises:
            FailureError: what the node answered, or ``UNAVAILABLE`` and ``OVERLOADED`` (nothing was done), or
                ``OUTCOME_UNKNOWN``.
        """
        budget_ms = PUBLISH_DEADLINE_MS if isinstance(operation, Publish) else REQUEST_DEADLINE_MS
        call = self._describe(operation, fail_over=fail_over, wait_ms=wait_ms, budget_ms=budget_ms)
        return self._run(Errand(call, operation, budget_ms, request_id, traceparent))

    def ready(self) -> bool:
        """Say whether a node and its store answer, within ``CONNECT_DEADLINE_MS``."""
        ping = Ping(store=True)
        call = self._describe(ping, fail_over=True, wait_ms=0, budget_ms=CONNECT_DEADLINE_MS)
        try:
            self._run(Errand(call, ping, CONNECT_DEADLINE_MS))
        except FailureError:
            return False
        return True

    def members(self) -> tuple[Member, ...]:
        """Return the members that serve, as last heard; the seeds until then, and while none serves."""
        self._start()
        return self._members

    @property
    def in_flight(self) -> int:
        """How many calls are under way that were not asked to wait."""
        return self._in_flight if self._pid == os.getpid() else 0

    def end_waits(self) -> None:
        """Let calls that wait for messages come back with what there is, now and from now on."""
        self._start()
        self._ending = True
        for request_id, connection in tuple(self._waiting.items()):
            self._post(connection, EndWait(request_id=request_id))

    def is_crowded(self) -> bool:
        """Say whether more calls are under way than are kept up with."""
        return self._pressure.is_high(self._clock.monotonic_s(), in_flight=self.in_flight)

    def close(self) -> None:
        """Let go of all sockets; calls under way fail.  A later call begins anew."""
        if self._pid != os.getpid():
            return
        self._pid = 0
        self._refresher.kill()
        for connection in self._connections.values():
            connection.close()
        self._context.term()

    # a call

    def _describe(self, operation: Operation, *, fail_over: bool, wait_ms: int, budget_ms: int) -> Call:
        self._start()
        now_s = self._clock.monotonic_s()
        call = call_of(operation, fail_over=fail_over, wait_ms=wait_ms, now_s=now_s, budget_ms=budget_ms)
        return call if self._any_usable() else call._replace(patience_s=self._patience_s(now_s))

    def _patience_s(self, now_s: float) -> float:
        """Return for how long to wait while no node can be reached."""
        if any(now_s - connection.left_s < RESTART_PATIENCE_S for connection in self._connections.values()):
            return RESTART_PATIENCE_S
        return HOPELESS_PATIENCE_S if now_s - self._last_up_s > HOPELESS_S else PATIENCE_S

    def _run(self, errand: Errand) -> msgspec.Struct:
        if not errand.call.wait_s and self._in_flight >= IN_FLIGHT_PER_NODE_MAX:
            raise FailureError(_OVERLOADED)
        self._in_flight += not errand.call.wait_s
        try:
            return self._follow(errand)
        finally:
            self._in_flight -= not errand.call.wait_s

    def _follow(self, errand: Errand) -> msgspec.Struct:
        journey = route(errand.call, members=lambda: self._members, now_s=self._clock.monotonic_s)
        try:
            action = next(journey)
            while True:
                action = journey.send(self._do(action, errand))
        except StopIteration as end:
            reply: msgspec.Struct = end.value
            return reply

    def _do(self, action: Send | Pause, errand: Errand) -> Outcome:
        if isinstance(action, Pause):
            self._changed.clear()
            self._changed.wait(max(0.0, action.until_s - self._clock.monotonic_s()))
            return None
        return self._attempt(action, errand)

    def _attempt(self, send: Send, errand: Errand) -> Outcome:
        connection = self._connection(send.member)
        if not connection.usable:
            return Lost.NOT_SENT
        request_id = next(self._request_ids)
        try:
            frame = encode_request(self._request(request_id, errand))
        except MalformedFrameError as error:
            return Failure(Code.BODY_TOO_LARGE, "body", error.reason)
        pending = connection.send(request_id, frame)
        answer: Answer | Lost | None = None
        sent_s = self._clock.monotonic_s()
        if errand.call.wait_s:
            self._waiting[request_id] = connection
        try:
            answer = pending.wait(max(0.0, send.until_s - self._clock.monotonic_s()))
        finally:
            if errand.call.wait_s:
                del self._waiting[request_id]
            if answer is None:
                connection.forget(request_id)
                self._cancel(connection, request_id, errand)
        if answer is None or isinstance(answer, Lost):
            return self._lost(send.member, answer or Lost.TIMED_OUT)
        if not errand.call.wait_s:
            now_s = self._clock.monotonic_s()
            operation = errand.operation
            kind = type(operation), getattr(operation, "application", "")
            self._pressure.note(kind, now_s - sent_s, now_s, in_flight=self._in_flight)
        return _typed(answer, errand.operation, send.member)

    def _lost(self, member: Member, why: Lost) -> Lost:
        self._on_lost(member.address, why)
        return why

    def _request(self, request_id: int, errand: Errand) -> Request:
        now_s = self._clock.monotonic_s()
        left_ms = int((errand.call.deadline_s - now_s) * 1000)
        operation = errand.operation
        if errand.call.wait_s and isinstance(operation, Read | Claim):
            wait_ms = 0 if self._ending else min(operation.wait_ms, max(0, left_ms - errand.budget_ms))
            operation = msgspec.structs.replace(operation, wait_ms=wait_ms)
        return Request(
            request_id=request_id,
            operation=operation,
            sent_ms=int(now_s * 1000),
            budget_ms=left_ms,
            log_id=errand.log_id,
            traceparent=errand.traceparent,
        )

    def _cancel(self, connection: Connection, request_id: int, errand: Errand) -> None:
        if errand.call.wait_s:
            self._post(connection, Cancel(request_id=request_id))

    def _post(self, connection: Connection, operation: Operation) -> None:
        now_ms = int(self._clock.monotonic_s() * 1000)
        own_id = next(self._request_ids)
        connection.post(
            encode_request(Request(request_id=own_id, operation=operation, sent_ms=now_ms, budget_ms=1_000))
        )

    # connections and members

    def _start(self) -> None:
        if self._pid == os.getpid():
            return
        if self._pid:
            raise RuntimeError("the node client was used before a fork: its sockets belong to the parent")
        self._pid = os.getpid()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._request_ids = itertools.count(NO_REQUEST + 1)
        self._connections: dict[str, Connection] = {}
        self._waiting: dict[int, Connection] = {}
        self._ending = False
        self._changed = Event()
        self._in_flight = 0
        self._last_up_s = self._clock.monotonic_s()
        self._known = False
        self._members = self._seeds
        for seed in self._seeds:
            self._connection(seed)
        self._refresher = gevent.spawn(self._refresh_always)

    def _connection(self, member: Member) -> Connection:
        connection = self._connections.get(member.address)
        if connection is not None and connection.curve_key != member.curve_key and not connection.usable:
            connection.close()
            connection = None
        if connection is None:
            connection = self._connections[member.address] = Connection(
                self._context,
                member.address,
                on_change=self._on_change,
                now_s=self._clock.monotonic_s,
                curve_key=member.curve_key,
                curve_secret=self._curve_secret,
            )
        return connection

    def _on_change(self) -> None:
        self._last_up_s = self._clock.monotonic_s()
        self._changed.set()

    def _any_usable(self) -> bool:
        return any(connection.usable for connection in self._connections.values())

    def _refresh_always(self) -> None:
        while True:
            self._refresh()
            gevent.sleep(MEMBERS_REFRESH_MS / 1000 if self._known else FIRST_REFRESH_S)

    def _refresh(self) -> None:
        if self._any_usable():
            self._last_up_s = self._clock.monotonic_s()
        for member in self._to_ask():
            answer = self._ask(member)
            if isinstance(answer, Members):
                self._learn(answer.members)
                return

    def _to_ask(self) -> list[Member]:
        """Return the nodes that can be asked, members first."""
        known = {member.address: member for member in (*self._seeds, *self._members)}
        ordered = dict.fromkeys(member.address for member in (*self._members, *self._seeds))
        return [known[address] for address in ordered if self._connection(known[address]).usable]

    def _ask(self, member: Member) -> Outcome:
        budget_ms = MEMBERS_REFRESH_MS
        question = ListMembers()
        now_s = self._clock.monotonic_s()
        call = call_of(question, fail_over=True, wait_ms=0, now_s=now_s, budget_ms=budget_ms)
        return self._attempt(Send(member, call.deadline_s), Errand(call, question, budget_ms))

    def _learn(self, members: Sequence[Member]) -> None:
        latest: dict[str, Member] = {}
        for member in sorted(members, key=lambda member: member.started_ms):
            latest[member.address] = member
        self._known = True
        serving = tuple(member for member in latest.values() if member.state == "serving")
        self._members = serving or self._seeds
        for member in latest.values():
            self._connection(member)
        kept = latest.keys() | {seed.address for seed in self._seeds}
        for address in [address for address in self._connections if address not in kept]:
            if not self._connections[address].busy:
                self._connections.pop(address).close()
        self._changed.set()


def _typed(answer: Answer, operation: Operation, member: Member) -> Outcome:
    try:
        return type_answer(answer, operation.Reply)
    except MalformedFrameError as error:
        _log.error("answer_unreadable", node=member.address, reason=error.reason)
        return _UNREADABLE


def _seed_member(seed: Seed) -> Member:
    address, key = seed
    return Member(member_id=address, address=address, state="serving", started_ms=0, version="", curve_key=key)
