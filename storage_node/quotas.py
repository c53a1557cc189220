"""The quotas that only a node can judge: requests under way, queues, stored bytes.

With one node they are exact; several nodes each count what they see (requests under way), or what all made
(queues, by the store).  No quota costs a scan per request: stored bytes are measured once a minute, and what is
published in between is added.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final, Protocol, runtime_checkable

import msgspec

from common.clock import Clock
from common.protocol.envelope import RequestContext
from common.protocol.failures import Code, FailureError, refuse
from common.protocol.operations import ApplicationOperation, CreateQueue, Operation, Publish, PutMessages
from common.quota_settings import QuotaSettings
from common.settings import ApplicationSettings
from storage_node.store.errors import StoreError
from storage_node.store.interface import Store

Handler = Callable[[Operation, RequestContext], Awaitable[msgspec.Struct]]

MEASURE_EVERY_S: Final = 60.0
"""Seconds between two measurements of stored bytes, at least."""
MEASURE_SHARE: Final = 100
"""A measurement that took long is followed by a pause of that many times its length."""
QUEUES_PAGE: Final = 1_000


@runtime_checkable
class MeasuresBytes(Protocol):
    """What a store that can tell an application's stored bytes offers besides ``Store``."""

    async def stored_bytes(self, application: str, *, now_ticks: int) -> int:
        """Return the bytes of the bodies of all live messages of an application; reads all of them."""


class Usage:
    """What one application uses of a node."""

    __slots__ = ("added_bytes", "in_flight", "measured_bytes", "quotas")

    def __init__(self, quotas: QuotaSettings) -> None:
        self.quotas = quotas
        self.in_flight = 0
        self.measured_bytes = 0
        self.added_bytes = 0


class Quotas:
    """A handler that refuses what is over an application's quota, and hands everything else on."""

    def __init__(
        self, handle: Handler, store: Store, *, applications: Mapping[str, ApplicationSettings], clock: Clock
    ) -> None:
        self._handle = handle
        self._store = store
        self._clock = clock
        limited = {name: each.quotas for name, each in applications.items() if each.quotas != QuotaSettings()}
        self._usage = {name: Usage(quotas) for name, quotas in limited.items()}
        self._creating: dict[str, asyncio.Lock] = {name: asyncio.Lock() for name in limited}

    def start(self) -> list[asyncio.Task[None]]:
        """Begin to measure stored bytes where a quota asks for it; the tasks run until cancelled."""
        store = self._store
        if not isinstance(store, MeasuresBytes):
            return []
        loop = asyncio.get_running_loop()
        limited = [(name, usage) for name, usage in self._usage.items() if usage.quotas.stored_bytes]
        return [loop.create_task(self._measure(store, name, usage)) for name, usage in limited]

    def __call__(self, operation: Operation, context: RequestContext) -> Awaitable[msgspec.Struct]:
        """Answer an operation as the handler does, or refuse it with ``QUOTA_EXCEEDED``."""
        usage = self._usage.get(operation.application) if isinstance(operation, ApplicationOperation) else None
        return self._handle(operation, context) if usage is None else self._limited(usage, operation, context)

    async def _limited(self, usage: Usage, operation: Operation, context: RequestContext) -> msgspec.Struct:
        if usage.quotas.in_flight and usage.in_flight >= usage.quotas.in_flight:
            raise over_quota("in_flight", usage.quotas.in_flight)
        _admit_bytes(usage, operation)
        usage.in_flight += 1
        try:
            if isinstance(operation, CreateQueue) and usage.quotas.queues:
                return await self._create(usage, operation, context)
            return await self._handle(operation, context)
        finally:
            usage.in_flight -= 1

    async def _create(self, usage: Usage, operation: CreateQueue, context: RequestContext) -> msgspec.Struct:
        async with self._creating[operation.application]:
            standing = await self._store.read_queue(operation.application, operation.queue)
            if standing is None and await self._has_queues(operation.application, usage.quotas.queues):
                raise over_quota("queues", usage.quotas.queues)
            return await self._handle(operation, context)

    async def _has_queues(self, application: str, count: int) -> bool:
        """Say whether there are that many queues; a look at no more of them than that."""
        offset: str | None = None
        while count > 0:
            page, offset = await self._store.list_queues(application, offset=offset, limit=min(count, QUEUES_PAGE))
            count -= len(page)
            if offset is None:
                break
        return count <= 0

    async def _measure(self, store: MeasuresBytes, application: str, usage: Usage) -> None:
        while True:
            begun_s, added_before = self._clock.monotonic_s(), usage.added_bytes
            with suppress(StoreError):
                usage.measured_bytes = await store.stored_bytes(application, now_ticks=self._clock.now_ticks())
                usage.added_bytes -= added_before
            took_s = self._clock.monotonic_s() - begun_s
            await asyncio.sleep(max(MEASURE_EVERY_S, took_s * MEASURE_SHARE))


def over_quota(name: str, bound: int, retry_after_ms: int = 1_000) -> FailureError:
    """Return the refusal of what is over a quota: it names the limit."""
    return refuse(Code.QUOTA_EXCEEDED, name, f"is limited to {bound} for this application", retry_after_ms)


def _admit_bytes(usage: Usage, operation: Operation) -> None:
    if not usage.quotas.stored_bytes:
        return
    if isinstance(operation, Publish):
        size = sum([len(message.body) for message in operation.messages])
    elif isinstance(operation, PutMessages):
        size = len(operation.body) * len(operation.ids)
    else:
        return
    if usage.measured_bytes + usage.added_bytes + size > usage.quotas.stored_bytes:
        raise over_quota("stored_bytes", usage.quotas.stored_bytes, int(MEASURE_EVERY_S * 1_000))
    usage.added_bytes += size
