"""The asyncio client: the calls of ``queuey_client.client`` with ``await``."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import TypeVar

import httpx

from queuey_client import calls
from queuey_client.calls import Call
from queuey_client.client import as_new, claim_options
from queuey_client.retrying import Outcome, Sleep, attempts
from queuey_client.seen import Seen
from queuey_client.transport import answer_of, authorization, no_answer, request_of
from queuey_client.values import Claim, Json, Message, NewMessage, Page, Published, Settled

T = TypeVar("T")


class AsyncQueuey:
    """One application at one service.  Give ``key``, ``token`` (OIDC) or ``link``, or none for public queues."""

    def __init__(
        self, url: str, application: str, *, key: str | None = None, token: str | None = None, link: str | None = None
    ) -> None:
        self.application = application
        headers = authorization(key=key, token=token, link=link)
        self._http = httpx.AsyncClient(base_url=url, headers=headers, limits=httpx.Limits(max_connections=None))
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

    def use_headers(self, headers: Mapping[str, str]) -> None:
        """Send these headers with every call, from now on."""
        self._http.headers.update(headers)

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
            return answer_of(await self._http.send(request_of(self._http, call)))
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

    async def publish(self, messages: Sequence[NewMessage | str | bytes]) -> tuple[Published, ...]:
        """Publish; each message is stored once, however often this had to be sent."""
        return await self.queuey.call(calls.publish(self.path, as_new(messages)))

    async def read(self, *, wait: float = 0.0, **options: object) -> Page:
        """Read a page (``since``, ``until``, ``after``, ``cursor``, ``limit``, ``order``, ``partitions``)."""
        return await self.queuey.call(calls.read(self.path, options, wait=wait))

    async def follow(
        self, *, cursor: str | None = None, wait: float = 25.0, **options: object
    ) -> AsyncIterator[Message]:
        """Follow the queue for ever: misses nothing, shows nothing twice."""
        seen = Seen()
        page = await self.read(wait=wait, **({"cursor": cursor} if cursor else options))
        while True:
            for message in seen.new(page):
                yield message
            page = await self.read(wait=wait, cursor=page.next)

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
        options = claim_options(limit, lease, group, partitions, claim_id)
        return await self.queuey.call(calls.claim(self.path, options, wait=wait))

    async def ack(self, receipts: Sequence[str]) -> tuple[Settled, ...]:
        """Settle; one outcome per receipt, in order."""
        return await self.queuey.call(calls.ack(self.path, receipts))

    async def release(self, receipts: Sequence[str], *, delay: float = 0.0) -> tuple[Settled, ...]:
        """Give back, now or after ``delay`` seconds."""
        return await self.queuey.call(calls.release(self.path, receipts, delay))

    async def extend(self, receipts: Sequence[str], *, lease: float | None = None) -> tuple[Settled, ...]:
        """Hold for ``lease`` seconds from now; use ``new_receipt`` afterwards."""
        return await self.queuey.call(calls.extend(self.path, receipts, lease))

    async def ask(self, receipt: str) -> Settled:
        """Ask whether an ack counted."""
        return await self.queuey.call(calls.ask(self.path, receipt))
