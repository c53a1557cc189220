"""The consumer loop: claim, hand out, hold the lease, settle; one loop for coroutines and plain functions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from queuey_client.aio import AsyncQueue, AsyncQueuey
from queuey_client.client import Queue
from queuey_client.errors import OutcomeUnknownError, QueueyError, RefusedError
from queuey_client.retrying import TROUBLE_PAUSE_S
from queuey_client.values import Claim, Message

log = logging.getLogger("queuey_client")

WAIT_S = 20.0
RELEASE_DELAY_S_FIRST = 1.0
RELEASE_DELAY_S_MOST = 300.0


@dataclass(slots=True)
class Delivery:
    """One message in the hands of a handler.  ``lost`` is set once another may have it: stop, and undo."""

    message: Message
    deliveries: int
    receipt: str | None
    lost: asyncio.Event = field(default_factory=asyncio.Event)


Handler = Callable[[Delivery], Awaitable[None]]
Lost = Callable[[Delivery, str], None]


def _log_lost(delivery: Delivery, outcome: str) -> None:
    log.warning("%s of message %s", outcome, delivery.message.message_id)


class AsyncConsumer:
    """Consume a queue until ``stop``.

    The handler returning acks; its raising gives the message back, after a delay that doubles with each delivery.
    While it runs the lease is extended at half its time.  ``on_lost(delivery, outcome)`` hears of work that did not
    count: ``lease_lost`` (undo it), ``already_acked`` (at_least_once: somebody else did it too) or ``unknown``.
    """

    def __init__(
        self,
        queue: AsyncQueue,
        handler: Handler,
        *,
        group: str = "default",
        limit: int = 10,
        lease: float = 30.0,
        on_lost: Lost = _log_lost,
    ) -> None:
        self._queue = queue
        self._handler = handler
        self._group = group
        self._limit = limit
        self._lease_s = lease
        self._on_lost = on_lost
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Claim nothing more; ``run`` returns when what was claimed is settled."""
        self._stopping.set()

    async def run(self) -> None:
        """Consume.  Raises ``RefusedError`` when the service refuses for good (a key, a queue that is gone)."""
        hands: set[asyncio.Task[None]] = set()
        try:
            while not self._stopping.is_set():
                for claim in await self._claim(self._limit - len(hands)):
                    hand = asyncio.create_task(self._handle(claim))
                    hands.add(hand)
                    hand.add_done_callback(hands.discard)
                if len(hands) >= self._limit:
                    await asyncio.wait(hands, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await asyncio.gather(*hands)

    async def _claim(self, limit: int) -> tuple[Claim, ...]:
        claim_id = uuid.uuid4().hex
        claiming = asyncio.ensure_future(self._claim_as(claim_id, limit, WAIT_S))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({claiming, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if claiming.done():
                return claiming.result()
            claiming.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await claiming
            return ()  # what it may have leased comes back when its lease ends
        finally:
            stopping.cancel()

    async def _claim_as(self, claim_id: str, limit: int, wait_s: float) -> tuple[Claim, ...]:
        try:
            return await self._queue.claim(
                limit=limit, lease=self._lease_s, wait=wait_s, group=self._group, claim_id=claim_id
            )
        except OutcomeUnknownError as error:
            log.warning("a claim's outcome is unknown: %s", error)
        except RefusedError as error:
            if not error.retry_later:
                raise
            log.warning("a claim was refused: %s", error)
        await asyncio.sleep(TROUBLE_PAUSE_S)
        return ()

    async def _handle(self, claim: Claim) -> None:
        delivery = Delivery(claim.message, claim.deliveries, claim.receipt)
        holding = asyncio.create_task(self._hold(delivery))
        try:
            await self._handler(delivery)
        except Exception:
            log.exception("the handler failed on message %s", claim.message.message_id)
            await self._stop_holding(holding)
            await self._release(delivery)
        else:
            await self._stop_holding(holding)
            await self._ack(delivery)

    async def _stop_holding(self, holding: asyncio.Task[None]) -> None:
        holding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await holding

    async def _hold(self, delivery: Delivery) -> None:
        held_until_s = time.monotonic() + self._lease_s
        while delivery.receipt is not None and not delivery.lost.is_set():
            await asyncio.sleep(max(0.0, held_until_s - time.monotonic()) / 2)
            asked_s = time.monotonic()
            try:
                (settled,) = await self._queue.extend([delivery.receipt], lease=self._lease_s)
            except QueueyError as error:
                log.warning("could not extend a lease: %s", error)
                await asyncio.sleep(min(TROUBLE_PAUSE_S, self._lease_s / 10))
                continue
            if settled.outcome != "extended":
                delivery.lost.set()
                return
            delivery.receipt = settled.new_receipt or delivery.receipt
            held_until_s = asked_s + self._lease_s

    async def _ack(self, delivery: Delivery) -> None:
        if delivery.receipt is None:
            return
        try:
            (settled,) = await self._queue.ack([delivery.receipt])
        except QueueyError as error:
            log.warning("an ack did not come through: %s", error)
            self._on_lost(delivery, "unknown")
            return
        if settled.outcome != "acked":
            self._on_lost(delivery, settled.outcome)

    async def _release(self, delivery: Delivery) -> None:
        if delivery.receipt is None:
            return
        delay_s = min(RELEASE_DELAY_S_FIRST * 2 ** min(delivery.deliveries - 1, 20), RELEASE_DELAY_S_MOST)
        try:
            await self._queue.release([delivery.receipt], delay=delay_s)
        except QueueyError as error:
            log.warning("a release did not come through, the lease's end does the same: %s", error)


class Consumer:
    """The same loop for plain functions: each runs in a thread of its own, at most ``limit`` at once."""

    def __init__(
        self,
        queue: Queue,
        handler: Callable[[Delivery], None],
        *,
        group: str = "default",
        limit: int = 10,
        lease: float = 30.0,
        on_lost: Lost = _log_lost,
    ) -> None:
        self._queue = queue
        self._handler = handler
        self._group = group
        self._limit = limit
        self._lease_s = lease
        self._on_lost = on_lost
        self._running: tuple[asyncio.AbstractEventLoop, AsyncConsumer] | None = None

    def run(self) -> None:
        """Consume until ``stop`` is called, from a handler or another thread."""
        asyncio.run(self._run())

    def stop(self) -> None:
        """Claim nothing more."""
        if self._running is not None:
            loop, consumer = self._running
            loop.call_soon_threadsafe(consumer.stop)

    async def _run(self) -> None:
        sync = self._queue.queuey
        async with AsyncQueuey(sync.url, sync.application, identity=sync.identity) as queuey:
            consumer = AsyncConsumer(
                queuey.queue(self._queue.name),
                self._in_thread,
                group=self._group,
                limit=self._limit,
                lease=self._lease_s,
                on_lost=self._on_lost,
            )
            self._running = (asyncio.get_running_loop(), consumer)
            try:
                await consumer.run()
            finally:
                self._running = None

    async def _in_thread(self, delivery: Delivery) -> None:
        await asyncio.to_thread(self._handler, delivery)
