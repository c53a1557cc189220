"""Which node a call goes to, and when it may go to another: no sockets, no clock of its own.

A call is a generator.  It yields what is to be done and is sent what came of it, so that the front end and the
simulation run the same rules:

- A node is chosen by rendezvous hashing of (application, queue) over the members.  That is for speed only; any node
  may serve any queue.
- The next node is asked if a request was certainly not begun: no socket took it, or the node answered ``MOVED``.
- Once a socket took it, only an answer decides.  Without one its outcome is unknown: a call that may ``fail_over``
  goes on to another node (or to the same one, when it is back), every other fails with ``OUTCOME_UNKNOWN``.
- While no node can be reached the call waits a little, for one that said goodbye as long as a restart may take, then
  fails with ``UNAVAILABLE``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from enum import Enum
from hashlib import blake2b
from typing import Final, NamedTuple, TypeAlias

import msgspec

from common.limits import CONNECT_DEADLINE_MS, REQUEST_DEADLINE_MS
from common.protocol.failures import Code, Failure, FailureError, Retry
from common.protocol.operations import ApplicationOperation, Member, Operation, Published, QueueOperation

PATIENCE_S: Final = CONNECT_DEADLINE_MS * 0.85 / 1000
"""Seconds that a call waits for a node that can be reached; the rest is for the way to the client."""
RESTART_PATIENCE_S: Final = (REQUEST_DEADLINE_MS - CONNECT_DEADLINE_MS) / 1000
"""Seconds that a call waits for a node that said goodbye: it may well be restarted, and nothing was begun."""
PAUSE_S: Final = 0.05
"""Seconds between two looks for a node, unless a connection comes up before."""
RETRY_AFTER_MS: Final = 1_000


class Send(NamedTuple):
    """Hand the request to this member, and wait for its answer until then (monotonic seconds)."""

    member: Member
    until_s: float


class Pause(NamedTuple):
    """Wait until then (monotonic seconds), or until a connection comes up or the members change."""

    until_s: float


class Lost(Enum):
    """There is no answer."""

    NOT_SENT = "not_sent"
    """No socket took it: certainly not begun."""
    TIMED_OUT = "timed_out"
    """It was handed over; nothing came back in time."""
    PEER_GONE = "peer_gone"
    """It was handed over; then the connection broke."""


Action: TypeAlias = Send | Pause
Outcome: TypeAlias = msgspec.Struct | Lost | None
"""What is sent into the generator: a reply or a ``Failure``, or why there is none; ``None`` after a pause."""
Route: TypeAlias = Generator[Action, Outcome, msgspec.Struct]


class Call(NamedTuple):
    """What the rules need to know of a call."""

    key: tuple[str, str]
    """(application, queue)"""
    fail_over: bool
    """May be done twice without harm."""
    reads_only: bool
    wait_s: float
    """Seconds of the budget that a node may let pass before it answers."""
    deadline_s: float
    """Monotonic seconds."""
    patience_s: float = PATIENCE_S
    """Seconds to wait for a node that can be reached."""


def call_of(operation: Operation, *, fail_over: bool, wait_ms: int, now_s: float, budget_ms: int) -> Call:
    """Describe an operation that has ``budget_ms`` besides its wait."""
    return Call(
        key=routing_key(operation),
        fail_over=fail_over or operation.reads_only,
        reads_only=operation.reads_only,
        wait_s=wait_ms / 1000,
        deadline_s=now_s + (wait_ms + budget_ms) / 1000,
    )


def routing_key(operation: Operation) -> tuple[str, str]:
    """Return what an operation is routed by; operations without a queue go to one node per application."""
    application = operation.application if isinstance(operation, ApplicationOperation) else ""
    queue = operation.queue if isinstance(operation, QueueOperation) else ""
    return application, queue


def rank(key: tuple[str, str], members: Sequence[Member]) -> list[Member]:
    """Return the members, best first, by rendezvous hashing: one that leaves moves only its own queues."""
    if len(members) < 2:
        return list(members)
    text = "\0".join(key)
    return sorted(members, key=lambda member: _weight(f"{text}\0{member.address}"), reverse=True)


def route(call: Call, *, members: Callable[[], Sequence[Member]], now_s: Callable[[], float]) -> Route:
    """Carry one call to its reply.

    Raises:
        FailureError: the node refused it, no node could take it, or its outcome is unknown.
    """
    begun_s = now_s()
    journey = _Journey(
        call,
        patient_until_s=min(begun_s + call.patience_s, call.deadline_s),
        restart_until_s=min(begun_s + RESTART_PATIENCE_S, call.deadline_s),
    )
    while True:
        for member in rank(call.key, members()):
            if member.address in journey.spent:
                continue
            if now_s() >= call.deadline_s:
                raise journey.failure()
            outcome = yield Send(member, journey.until_s(now_s(), others=len(members()) - len(journey.spent)))
            reply = journey.judge(member, outcome)
            if reply is not None:
                return reply
        if now_s() >= journey.patient_until_s:
            raise journey.failure()
        yield Pause(min(now_s() + PAUSE_S, journey.patient_until_s))


class _Journey:
    """What has become of a call so far."""

    def __init__(self, call: Call, *, patient_until_s: float, restart_until_s: float) -> None:
        self._call = call
        self.patient_until_s = patient_until_s
        self._restart_until_s = restart_until_s
        self.spent: set[str] = set()
        """Addresses of nodes that did not answer in time."""
        self._maybe_done = False

    def until_s(self, now_s: float, *, others: int) -> float:
        """Return how long to wait for one node: where another could be asked, half of what is left is kept."""
        call = self._call
        if not call.fail_over or others < 2:
            return call.deadline_s
        return call.deadline_s - max(0.0, call.deadline_s - now_s - call.wait_s) / 2

    def judge(self, member: Member, outcome: Outcome) -> msgspec.Struct | None:
        """Return the reply, or ``None`` if another node may be asked."""
        if outcome is Lost.NOT_SENT:
            return None
        if outcome is Lost.TIMED_OUT:
            self.spent.add(member.address)
        elif isinstance(outcome, Failure):
            if outcome.code is Code.MOVED:
                self.patient_until_s = max(self.patient_until_s, self._restart_until_s)
                return None
            if self._maybe_done and outcome.retry is Retry.LATER:
                raise self.failure()
            raise FailureError(outcome)
        elif isinstance(outcome, msgspec.Struct):
            return self._honest(outcome)
        self._maybe_done = True
        if not self._call.fail_over:
            raise self.failure()
        return None

    def _honest(self, reply: msgspec.Struct) -> msgspec.Struct:
        """Return the reply; of what this node refused, an earlier one may have stored all the same."""
        if not self._maybe_done or not isinstance(reply, Published):
            return reply
        unknown = self.failure().failure
        results = tuple(
            msgspec.structs.replace(one, failure=unknown)
            if one.failure is not None and one.failure.retry is Retry.LATER
            else one
            for one in reply.results
        )
        return msgspec.structs.replace(reply, results=results)

    def failure(self) -> FailureError:
        """Return what to say when nothing more can be tried."""
        if self._maybe_done and not self._call.reads_only:
            return FailureError(Failure(Code.OUTCOME_UNKNOWN, "node", "did not answer", RETRY_AFTER_MS))
        return FailureError(Failure(Code.UNAVAILABLE, "node", "no storage node could answer", RETRY_AFTER_MS))


def _weight(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=8).digest()
