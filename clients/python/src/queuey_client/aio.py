"""The asyncio client: the calls of ``queuey_client.client`` with ``await``."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import TracebackType
from typing import TypeVar

import httpx

from queuey_client import calls
from queuey_client.calls import Call, NewMessages, Receipts
from queuey_client.errors import OutcomeUnknownError, RefusedError
from queuey_client.retrying import TROUBLE_PAUSE_S, Outcome, Sleep, attempts, may_go_on
from queuey_client.seen import Seen
from queuey_client.transport import Identity, answer_of, identity_of, no_answer, request_of
from queuey_client.values import Claim, Json, Message, Page, Published, Settled

T = TypeVar("T")


class AsyncQueuey:
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
        identity: Identity | None = None,
    ) -> None:
        self.application = application
        self.identity = identity or identity_of(key=key, token=token, assertion=assertion, link=link)
        self._http = httpx.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=None))
        self._rng = random.SystemRandom()

    async def __aenter__(self) -> AsyncQueuey:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def queue(self, name: str) -> AsyncQueue:
        """Return a queue; costs no call."""
        return AsyncQueue(self, name)

    async def call(self, call: Call[T]) -> T:
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
                await asyncio.sleep(step.seconds)
                outcome = None
            else:
                outcome = await self._send(call)

    async def _send(self, call: Call[T]) -> Outcome:
        try:
            return answer_of(await self._http.send(request_of(self._http, call, self.identity)))
        except httpx.TransportError as error:
            return no_answer(error)


class AsyncQueue:
    """One queue.  Raises ``RefusedError`` (certainly not done) and ``OutcomeUnknownError``."""

    def __init__(self, queuey: AsyncQueuey, name: str) -> None:
        self.queuey = queuey
        self.name = name
        self.path = calls.queue_path(queuey.application, name)

    async def create(self, **options: Json) -> Mapping[str, Json]:
        """Create the queue, or change what is given."""
        return await self.queuey.call(calls.create(self.queuey.application, self.name, options))

    async def delete(self) -> None:
        """Delete the queue with all its messages."""
        await self.queuey.call(calls.delete(self.path))

    async def publish(self, messages: NewMessages) -> tuple[Published, ...]:
        """Publish one message or several; each is stored once, however often this had to be sent."""
        return await self.queuey.call(calls.publish(self.path, messages))

    async def read(self, *, wait: float = 0.0, **options: object) -> Page:
        """Read a page (``since``, ``until``, ``after``, ``cursor``, ``limit``, ``order``, ``partitions``)."""
        return await self.queuey.call(calls.read(self.path, options, wait=wait))

    async def follow(
        self, *, cursor: str | None = None, wait: float = 25.0, **options: object
    ) -> AsyncIterator[Message]:
        """Follow the queue for ever: misses nothing, shows nothing twice.

        A first read that fails raises; after it, only a refusal for good does.
        """
        seen = Seen()
        page = await self.read(wait=wait, **({"cursor": cursor} if cursor else options))
        while True:
            for message in seen.new(page):
                yield message
            page = await self._read_on(page.next, wait)

    async def claim(
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
        return await self.queuey.call(
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

    async def ack(self, receipts: Receipts) -> tuple[Settled, ...]:
        """Settle; one outcome per receipt, in order."""
        return await self.queuey.call(calls.ack(self.path, receipts))

    async def release(self, receipts: Receipts, *, delay: float = 0.0) -> tuple[Settled, ...]:
        """Give back, now or after ``delay`` seconds."""
        return await self.queuey.call(calls.release(self.path, receipts, delay))

    async def extend(self, receipts: Receipts, *, lease: float | None = None) -> tuple[Settled, ...]:
        """Hold for ``lease`` seconds from now; use ``new_receipt`` afterwards."""
        return await self.queuey.call(calls.extend(self.path, receipts, lease))

    async def ask(self, receipt: str) -> Settled:
        """Ask whether an ack counted."""
        return await self.queuey.call(calls.ask(self.path, receipt))

    async def _read_on(self, cursor: str, wait: float) -> Page:
        while True:
            try:
                return await self.read(wait=wait, cursor=cursor)
            except (OutcomeUnknownError, RefusedError) as error:
                if not may_go_on(error):
                    raise
                await asyncio.sleep(TROUBLE_PAUSE_S)
