"""Delivery of one node without a socket, on any store, and a store that counts what is asked of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from common.clock import SYSTEM_CLOCK, Clock
from common.protocol import operations as ops
from storage_node.delivery.service import Delivery
from storage_node.store.interface import QueueRow, Store
from tests.support.log_node import NOTES, PATIENCE_S, LogNode


class DeliveryNode(LogNode):
    """A log node that also delivers."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock = SYSTEM_CLOCK,
        seed: int = 1,
        on_stored: Callable[[str, int, int], None] | None = None,
    ) -> None:
        super().__init__(store, clock=clock, seed=seed, on_stored=on_stored)
        self.delivery = Delivery(store, self.queues, self.logs, clock=clock, rng=random.Random(seed + 1))

    async def claim(
        self,
        queue: QueueRow,
        *,
        limit: int = 10,
        group: str = "default",
        lease_ms: int | None = None,
        wait_ms: int = 0,
        claim_id: str | None = None,
        ack: Sequence[str] = (),
        partitions: Sequence[int] = (),
    ) -> ops.Claims:
        operation = ops.Claim(
            **_names(queue),
            group=group,
            limit=limit,
            lease_ms=lease_ms,
            wait_ms=wait_ms,
            claim_id=claim_id,
            ack=tuple(ack),
            partitions=tuple(partitions),
        )
        return await self.delivery.claim(operation, queue, deadline_s=self.deadline_s + wait_ms / 1000)

    async def ack(self, queue: QueueRow, *receipts: str) -> list[str]:
        operation = ops.Ack(**_names(queue), receipts=receipts)
        return _outcomes(await self.delivery.ack(operation, queue, deadline_s=self.deadline_s))

    async def release(self, queue: QueueRow, *receipts: str, delay_ms: int = 0) -> list[str]:
        operation = ops.Release(**_names(queue), receipts=receipts, delay_ms=delay_ms)
        return _outcomes(await self.delivery.release(operation, queue, deadline_s=self.deadline_s))

    async def extend(self, queue: QueueRow, receipt: str, *, lease_ms: int) -> ops.Settled:
        operation = ops.Extend(**_names(queue), receipts=(receipt,), lease_ms=lease_ms)
        answer = await self.delivery.extend(operation, queue, deadline_s=self.deadline_s)
        return answer.results[0]

    async def ask(self, queue: QueueRow, receipt: str) -> str:
        operation = ops.AskReceipt(**_names(queue), receipt=receipt)
        return _outcomes(await self.delivery.ask_receipt(operation, queue, deadline_s=self.deadline_s))[0]

    async def seek(self, queue: QueueRow, position: str, *, group: str = "default", at: int | None = None) -> None:
        operation = ops.SeekGroup(**_names(queue), group=group, position=position, at_ticks=at)
        await self.delivery.seek_group(operation, queue, deadline_s=self.deadline_s)

    async def groups(self, queue: QueueRow) -> list[ops.GroupInfo]:
        answer = await self.delivery.list_groups(ops.ListGroups(**_names(queue)), queue, deadline_s=self.deadline_s)
        return list(answer.groups)

    async def redrive(self, queue: QueueRow, limit: int | None = None) -> ops.Redriven:
        operation = ops.Redrive(**_names(queue), limit=limit)
        return await self.delivery.redrive(operation, queue, deadline_s=self.clock.monotonic_s() + PATIENCE_S)

    async def close(self) -> None:
        await self.delivery.close()
        await self.logs.close()


def _names(queue: QueueRow) -> dict[str, Any]:
    return {"application": queue.application, "queue": queue.name, "caller": NOTES}


def _outcomes(answer: ops.Settlements) -> list[str]:
    return [result.outcome for result in answer.results]


def receipts_of(claims: ops.Claims) -> list[str]:
    """Return the receipts of a claim."""
    return [one.receipt for one in claims.claims if one.receipt is not None]


def bodies_of(claims: ops.Claims) -> list[bytes]:
    """Return the bodies of a claim."""
    return [one.message.body for one in claims.claims]


class CountingStore:
    """Stands before a store and counts the calls by name."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.calls: Counter[str] = Counter()
        self.capabilities = store.capabilities

    def __getattr__(self, name: str) -> object:
        found = getattr(self._store, name)
        if not callable(found):
            return found
        call = cast("Callable[..., Awaitable[object]]", found)

        async def counted(*args: object, **kwargs: object) -> object:
            self.calls[name] += 1
            return await call(*args, **kwargs)

        return counted


def counting(store: Store) -> tuple[Store, CountingStore]:
    """Return the counting store, as a ``Store`` and as what it is."""
    wrapper = CountingStore(store)
    return cast("Store", wrapper), wrapper
