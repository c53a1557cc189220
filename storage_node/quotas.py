"""The quotas that only a node can judge: requests under way, queues, stored bytes.

With one node they are exact; several nodes each count what they see (requests under way), or what all made
(queues, by the store; stored bytes, a few seconds late).  No quota costs a scan, or a read of the store, per request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from common.protocol.envelope import RequestContext
from common.protocol.failures import Code, FailureError, refuse
from common.protocol.operations import ApplicationOperation, CreateQueue, Operation, Publish, PutMessages
from common.quota_settings import QuotaSettings
from common.settings import ApplicationSettings
from storage_node.store.interface import Store
from storage_node.stored_bytes import StoredBytes

Handler = Callable[[Operation, RequestContext], Awaitable[msgspec.Struct]]

STORED_RETRY_MS: Final = 60_000
"""Milliseconds after which a publish over the quota of stored bytes may try again."""
QUEUES_PAGE: Final = 1_000


class Usage:
    """What one application uses of a node."""

    __slots__ = ("arriving_bytes", "in_flight", "quotas")

    def __init__(self, quotas: QuotaSettings) -> None:
        self.quotas = quotas
        self.in_flight = 0
        self.arriving_bytes = 0
        """Of bodies under way to the store."""


class Quotas:
    """A handler that refuses what is over an application's quota, and hands everything else on."""

    def __init__(
        self,
        handle: Handler,
        store: Store,
        *,
        applications: Mapping[str, ApplicationSettings],
        stored: StoredBytes | None,
    ) -> None:
        self._handle = handle
        self._store = store
        self._stored = stored
        limited = {name: each.quotas for name, each in applications.items() if each.quotas != QuotaSettings()}
        self._usage = {name: Usage(quotas) for name, quotas in limited.items()}
        self._creating: dict[str, asyncio.Lock] = {name: asyncio.Lock() for name in limited}

    def __call__(self, operation: Operation, context: RequestContext) -> Awaitable[msgspec.Struct]:
        """Answer an operation as the handler does, or refuse it with ``QUOTA_EXCEEDED``."""
        usage = self._usage.get(operation.application) if isinstance(operation, ApplicationOperation) else None
        return self._handle(operation, context) if usage is None else self._limited(usage, operation, context)

    async def _limited(self, usage: Usage, operation: Operation, context: RequestContext) -> msgspec.Struct:
        if usage.quotas.in_flight and usage.in_flight >= usage.quotas.in_flight:
            raise over_quota("in_flight", usage.quotas.in_flight)
        usage.in_flight += 1
        try:
            if isinstance(operation, CreateQueue) and usage.quotas.queues:
                return await self._create(usage, operation, context)
            if isinstance(operation, Publish | PutMessages) and usage.quotas.stored_bytes and self._stored:
                return await self._keep(usage, operation, context, self._stored)
            return await self._handle(operation, context)
        finally:
            usage.in_flight -= 1

    async def _keep(
        self, usage: Usage, operation: Publish | PutMessages, context: RequestContext, stored: StoredBytes
    ) -> msgspec.Struct:
        """Hand on what fits; how much of it came to be stored ``stored`` is told by the log."""
        size_bytes = _size_bytes(operation)
        used_bytes = await stored.used(operation.application)
        if used_bytes + usage.arriving_bytes + size_bytes > usage.quotas.stored_bytes:
            raise over_quota("stored_bytes", usage.quotas.stored_bytes, STORED_RETRY_MS)
        usage.arriving_bytes += size_bytes
        try:
            return await self._handle(operation, context)
        finally:
            usage.arriving_bytes -= size_bytes

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


def over_quota(name: str, bound: int, retry_after_ms: int = 1_000) -> FailureError:
    """Return the refusal of what is over a quota: it names the limit."""
    return refuse(Code.QUOTA_EXCEEDED, name, f"is limited to {bound} for this application", retry_after_ms)


def _size_bytes(operation: Publish | PutMessages) -> int:
    if isinstance(operation, PutMessages):
        return len(operation.body) * len(operation.ids)
    return sum([len(message.body) for message in operation.messages])
