"""The sync client."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TypeVar

import httpx

from queuey_client import calls
from queuey_client.calls import Call, NewMessages, Receipts
from queuey_client.errors import OutcomeUnknownError, RefusedError
from queuey_client.retrying import TROUBLE_PAUSE_S, Outcome, Sleep, attempts, may_go_on
from queuey_client.seen import Seen
from queuey_client.transport import answer_of, identity_of, no_answer, request_of
from queuey_client.values import Claim, Json, Message, Page, Published, Settled

T = TypeVar("T")


class Queuey:
    """One application at one service.

    Give ``key``, ``token`` (OIDC; a function is asked before each request, so that it stays fresh), ``assertion``
    (BrowserID; a function, as each counts once) or ``link``, or none of them for public queues.
    """

    def __init__(
        self,
        url: str,
        application: str,
        *,
        key: str | None = None,
        token: str | Callable[[], str] | None = None,
        assertion: Callable[[], str] | None = None,
        link: str | None = None,
    ) -> None:
        self.url = url
        self.application = application
        self.identity = identity_of(key=key, token=token, assertion=assertion, link=link)
        self._http = httpx.Client(base_url=url)
        self._rng = random.SystemRandom()

    def __enter__(self) -> Queuey:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def queue(self, name: str) -> Queue:
        """Return a queue; costs no call."""
        return Queue(self, name)

    def call(self, call: Call[T]) -> T:
        """Carry out a call, again where that is safe."""
        steps = attempts(call, rng=self._rng)
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Sleep):
                time.sleep(step.seconds)
                outcome = None
            else:
                outcome = self._send(call)

    def _send(self, call: Call[T]) -> Outcome:
        try:
            return answer_of(self._http.send(request_of(self._http, call, self.identity)))
        except httpx.TransportError as error:
            return no_answer(error)


class Queue:
    """One queue.  Raises ``RefusedError`` (certainly not done) and ``OutcomeUnknownError``."""

    def __init__(self, queuey: Queuey, name: str) -> None:
        self.queuey = queuey
        self.name = name
        self.path = calls.queue_path(queuey.application, name)

    def create(self, **options: Json) -> Mapping[str, Json]:
        """Create the queue, or change what is given."""
        return self.queuey.call(calls.create(self.queuey.application, self.name, options))

    def delete(self) -> None:
        """Delete the queue with all its messages."""
        self.queuey.call(calls.delete(self.path))

    def publish(self, messages: NewMessages) -> tuple[Published, ...]:
        """Publish one message or several; each is stored once, however often this had to be sent."""
        return self.queuey.call(calls.publish(self.path, messages))

    def read(self, *, wait: float = 0.0, **options: object) -> Page:
        """Read a page (``since``, ``until``, ``after``, ``cursor``, ``limit``, ``order``, ``partitions``)."""
        return self.queuey.call(calls.read(self.path, options, wait=wait))

    def follow(self, *, cursor: str | None = None, wait: float = 25.0, **options: object) -> Iterator[Message]:
        """Follow the queue for ever: misses nothing, shows nothing twice.

        A first read that fails raises; after it, only a refusal for good does.
        """
        seen = Seen()
        page = self.read(wait=wait, **({"cursor": cursor} if cursor else options))
        while True:
            yield from seen.new(page)
            page = self._read_on(page.next, wait)

    def claim(
        self,
        *,
        limit: int = 10,
        lease: float | None = None,
        wait: float = 0.0,
        group: str = "default",
        partitions: Sequence[int] | None = None,
        claim_id: str | None = None,
    ) -> tuple[Claim, ...]:
        """Claim messages; a lost reply is asked for again under the same ``claim_id``."""
        return self.queuey.call(
            calls.claim(
                self.path,
                limit=limit,
                lease=lease,
                wait=wait,
                group=group,
                partitions=partitions,
                claim_id=claim_id,
            )
        )

    def ack(self, receipts: Receipts) -> tuple[Settled, ...]:
        """Settle; one outcome per receipt, in order."""
        return self.queuey.call(calls.ack(self.path, receipts))

    def release(self, receipts: Receipts, *, delay: float = 0.0) -> tuple[Settled, ...]:
        """Give back, now or after ``delay`` seconds."""
        return self.queuey.call(calls.release(self.path, receipts, delay))

    def extend(self, receipts: Receipts, *, lease: float | None = None) -> tuple[Settled, ...]:
        """Hold for ``lease`` seconds from now; use ``new_receipt`` afterwards."""
        return self.queuey.call(calls.extend(self.path, receipts, lease))

    def ask(self, receipt: str) -> Settled:
        """Ask whether an ack counted."""
        return self.queuey.call(calls.ask(self.path, receipt))

    def _read_on(self, cursor: str, wait: float) -> Page:
        while True:
            try:
                return self.read(wait=wait, cursor=cursor)
            except (OutcomeUnknownError, RefusedError) as error:
                if not may_go_on(error):
                    raise
                time.sleep(TROUBLE_PAUSE_S)
