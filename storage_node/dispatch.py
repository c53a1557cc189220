"""From an operation to its handler: one literal table, who may, and what the store's errors are to a client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from common.clock import Clock, ticks_to_unix_ms
from common.limits import LIST_QUEUES_PAGE_MAX
from common.protocol import operations as ops
from common.protocol.envelope import RequestContext
from common.protocol.failures import Code, FailureError, refuse
from storage_node.access import Right, is_allowed, is_granted, is_owner
from storage_node.log.logs import Logs
from storage_node.log.outcomes import OUTCOME_UNKNOWN, STORE_UNAVAILABLE, failure_of
from storage_node.log.waiters import QueueGoneError
from storage_node.queues import Queues, queue_info
from storage_node.revocations import Revocations
from storage_node.store.errors import StoreError
from storage_node.store.interface import QueueRow, RevocationRow, Store


class DeliveryOperations(Protocol):
    """What delivery answers; every method takes the operation and the queue's row, admitted already."""

    async def claim(
        self,
        operation: ops.Claim,
        queue: QueueRow,
        *,
        deadline_s: float,
        readmit: Callable[[], Awaitable[object]] | None = None,
    ) -> ops.Claims:
        """Answer ``Claim``; ``readmit`` raises where who waited may no longer."""

    async def ack(self, operation: ops.Ack, queue: QueueRow, *, deadline_s: float) -> ops.Settlements:
        """Answer ``Ack``."""

    async def release(self, operation: ops.Release, queue: QueueRow, *, deadline_s: float) -> ops.Settlements:
        """Answer ``Release``."""

    async def extend(self, operation: ops.Extend, queue: QueueRow, *, deadline_s: float) -> ops.Settlements:
        """Answer ``Extend``."""

    async def ask_receipt(self, operation: ops.AskReceipt, queue: QueueRow, *, deadline_s: float) -> ops.Settlements:
        """Answer ``AskReceipt``."""

    async def list_groups(self, operation: ops.ListGroups, queue: QueueRow, *, deadline_s: float) -> ops.Groups:
        """Answer ``ListGroups``."""

    async def seek_group(self, operation: ops.SeekGroup, queue: QueueRow, *, deadline_s: float) -> ops.Done:
        """Answer ``SeekGroup``."""

    async def redrive(self, operation: ops.Redrive, queue: QueueRow, *, deadline_s: float) -> ops.Redriven:
        """Answer ``Redrive``."""


Handler: TypeAlias = Callable[[Any, RequestContext], Awaitable[msgspec.Struct]]
QueueHandler: TypeAlias = Callable[[Any, QueueRow, RequestContext], Awaitable[msgspec.Struct]]


class Dispatch:
    """Answers every operation but ``Cancel`` and ``EndWait``, which are the server's own."""

    def __init__(
        self,
        store: Store,
        queues: Queues,
        logs: Logs,
        delivery: DeliveryOperations,
        *,
        members: Callable[[], Awaitable[ops.Members]],
        clock: Clock,
        is_home: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """``is_home`` tells of an application whether this node's data centre serves it."""
        self._store = store
        self._queues = queues
        self._logs = logs
        self._delivery = delivery
        self._members = members
        self._clock = clock
        self._is_home = is_home
        self._revocations = Revocations(store, clock=clock)
        self.table: Final[dict[type[ops.Operation], Handler]] = {
            ops.CreateQueue: self._create_queue,
            ops.UpdateQueue: self._on_queue(Right.OWN, self._update_queue),
            ops.DeleteQueue: self._on_queue(Right.OWN, self._delete_queue),
            ops.PurgeQueue: self._on_queue(Right.OWN, self._purge_queue),
            ops.DescribeQueue: self._on_queue(Right.OWN, self._describe_queue),
            ops.ListQueues: self._list_queues,
            ops.Publish: self._on_queue(Right.PUBLISH, self._publish),
            ops.Read: self._on_queue(Right.READ, self._read),
            ops.ReadMessages: self._on_queue(Right.READ, self._read_messages),
            ops.PutMessages: self._on_queue(Right.OWN, self._put_messages),
            ops.DeleteMessages: self._on_queue(Right.DELETE, self._delete_messages),
            ops.Claim: self._on_queue(Right.CLAIM, self._claim),
            ops.Ack: self._on_queue(Right.CLAIM, self._ack),
            ops.Release: self._on_queue(Right.CLAIM, self._release),
            ops.Extend: self._on_queue(Right.CLAIM, self._extend),
            ops.AskReceipt: self._on_queue(Right.CLAIM, self._ask_receipt),
            ops.ListGroups: self._on_queue(Right.CLAIM, self._list_groups),
            ops.SeekGroup: self._on_queue(Right.OWN, self._seek_group),
            ops.Redrive: self._on_queue(Right.OWN, self._redrive),
            ops.RevokeLinks: self._revoke_links,
            ops.ListMembers: self._list_members,
            ops.Ping: self._ping,
        }

    async def __call__(self, operation: ops.Operation, context: RequestContext) -> msgspec.Struct:
        """Answer an operation.

        Raises:
            FailureError: the refusal to send instead of a reply.
        """
        if isinstance(operation, ops.ApplicationOperation) and not self._is_home(operation.application):
            raise refuse(Code.MOVED, "application", "is served in another data centre")
        try:
            return await self.table[type(operation)](operation, context)
        except StoreError as error:
            failure = failure_of(error)
            if operation.reads_only and failure is OUTCOME_UNKNOWN:
                failure = STORE_UNAVAILABLE  # a read may raise a fence, but nothing that its client asked for
            raise FailureError(failure) from error

    # admission

    def _on_queue(self, right: Right, handler: QueueHandler) -> Handler:
        """Admit the caller to the queue, then hand over its row."""

        async def admitted(operation: ops.QueueOperation, context: RequestContext) -> msgspec.Struct:
            row = self._queues.known(operation.application, operation.queue)
            if row is None or not is_allowed(right, operation.caller, row):
                row = await self._admit(right, operation, row)
            try:
                return await handler(operation, row, context)
            except QueueGoneError:
                return await handler(_not_waiting(operation), await self._admit(right, operation, None), context)

        return admitted

    async def _admit(self, right: Right, operation: ops.QueueOperation, known: QueueRow | None) -> QueueRow:
        """Admit by what is known, else by a row read now: *no* is never said from memory."""
        if known is not None and await self._is_granted(right, operation, known):
            return known
        row = await self._queues.read(operation.application, operation.queue)
        if row is None:
            if not is_owner(operation.application, operation.caller):
                raise _denied()
            raise refuse(Code.QUEUE_NOT_FOUND, "InvalidQueueName", "There is no queue of this name.")
        if is_allowed(right, operation.caller, row) or await self._is_granted(right, operation, row):
            return row
        raise _denied()

    async def _is_granted(self, right: Right, operation: ops.QueueOperation, row: QueueRow) -> bool:
        link = operation.caller.link
        if link is None:
            return False
        now_ms = ticks_to_unix_ms(self._clock.now_ticks())
        revoked = await self._revocations.of(operation.application)
        return is_granted(right, link, row, now_ms=now_ms, revoked=revoked)

    def _refuse_strangers(self, operation: ops.ApplicationOperation) -> None:
        if not is_owner(operation.application, operation.caller):
            raise _denied()

    # queues

    async def _create_queue(self, operation: ops.CreateQueue, _: RequestContext) -> ops.QueueInfo:
        self._refuse_strangers(operation)
        return queue_info(await self._queues.create(operation.application, operation.queue, operation.settings))

    async def _update_queue(self, operation: ops.UpdateQueue, row: QueueRow, _: RequestContext) -> ops.QueueInfo:
        return queue_info(await self._queues.update(row.application, row.name, operation.settings))

    async def _delete_queue(self, _: ops.DeleteQueue, row: QueueRow, __: RequestContext) -> ops.Done:
        await self._queues.delete(row.application, row.name)
        return ops.Done()

    async def _purge_queue(self, _: ops.PurgeQueue, row: QueueRow, __: RequestContext) -> ops.Done:
        await self._queues.purge(row.application, row.name)
        return ops.Done()

    async def _describe_queue(self, _: ops.DescribeQueue, row: QueueRow, __: RequestContext) -> ops.QueueInfo:
        return queue_info(await self._queues.find(row.application, row.name, fresh=True))

    async def _list_queues(self, operation: ops.ListQueues, _: RequestContext) -> ops.QueuesListed:
        self._refuse_strangers(operation)
        limit = min(operation.limit, LIST_QUEUES_PAGE_MAX)
        rows, beginning = await self._queues.page(operation.application, offset=operation.offset, limit=limit)
        infos = [queue_info(row, await self._count(operation, row)) for row in rows]
        return ops.QueuesListed(queues=tuple(infos), next=beginning)

    async def _count(self, operation: ops.ListQueues, row: QueueRow) -> int | None:
        return await self._logs.count_all(row) if operation.include_count else None

    # messages

    async def _publish(self, operation: ops.Publish, row: QueueRow, context: RequestContext) -> ops.Published:
        link = operation.caller.link
        if link is not None and link.body_bytes_max is not None:
            _refuse_long_bodies(operation, link.body_bytes_max)
        return await self._logs.publishing.publish(operation, row, deadline_s=context.deadline_s)

    async def _read(self, operation: ops.Read, row: QueueRow, context: RequestContext) -> ops.MessagesRead:
        """Read; who waited is admitted again, for the queue may have closed to it meanwhile."""
        found = await self._logs.reader.read(operation, row, deadline_s=context.deadline_s)
        if operation.wait_ms and found.messages:
            await self._readmit(Right.READ, operation)
        return found

    async def _readmit(self, right: Right, operation: ops.QueueOperation) -> None:
        """Admit who waited once more."""
        known = self._queues.known(operation.application, operation.queue)
        if known is None or not is_allowed(right, operation.caller, known):
            await self._admit(right, operation, known)

    async def _read_messages(self, operation: ops.ReadMessages, row: QueueRow, _: RequestContext) -> ops.MessagesRead:
        return await self._logs.edits.read(operation, row)

    async def _put_messages(self, operation: ops.PutMessages, row: QueueRow, _: RequestContext) -> ops.Done:
        return await self._logs.edits.put(operation, row)

    async def _delete_messages(self, operation: ops.DeleteMessages, row: QueueRow, _: RequestContext) -> ops.Done:
        return await self._logs.edits.delete(operation, row)

    # delivery

    async def _claim(self, operation: ops.Claim, row: QueueRow, context: RequestContext) -> ops.Claims:
        """Claim; who waits is admitted again before it takes anything."""

        async def readmit() -> None:
            await self._readmit(Right.CLAIM, operation)

        return await self._delivery.claim(operation, row, deadline_s=context.deadline_s, readmit=readmit)

    async def _ack(self, operation: ops.Ack, row: QueueRow, context: RequestContext) -> ops.Settlements:
        return await self._delivery.ack(operation, row, deadline_s=context.deadline_s)

    async def _release(self, operation: ops.Release, row: QueueRow, context: RequestContext) -> ops.Settlements:
        return await self._delivery.release(operation, row, deadline_s=context.deadline_s)

    async def _extend(self, operation: ops.Extend, row: QueueRow, context: RequestContext) -> ops.Settlements:
        return await self._delivery.extend(operation, row, deadline_s=context.deadline_s)

    async def _ask_receipt(
        self, operation: ops.AskReceipt, row: QueueRow, context: RequestContext
    ) -> ops.Settlements:
        return await self._delivery.ask_receipt(operation, row, deadline_s=context.deadline_s)

    async def _list_groups(self, operation: ops.ListGroups, row: QueueRow, context: RequestContext) -> ops.Groups:
        return await self._delivery.list_groups(operation, row, deadline_s=context.deadline_s)

    async def _seek_group(self, operation: ops.SeekGroup, row: QueueRow, context: RequestContext) -> ops.Done:
        return await self._delivery.seek_group(operation, row, deadline_s=context.deadline_s)

    async def _redrive(self, operation: ops.Redrive, row: QueueRow, context: RequestContext) -> ops.Redriven:
        return await self._delivery.redrive(operation, row, deadline_s=context.deadline_s)

    # links, members, health

    async def _revoke_links(self, operation: ops.RevokeLinks, _: RequestContext) -> ops.Done:
        self._refuse_strangers(operation)
        row = RevocationRow(operation.link_id or "", operation.epoch or 0, operation.expires_ms)
        await self._revocations.revoke(operation.application, row)
        return ops.Done()

    async def _list_members(self, _: ops.ListMembers, __: RequestContext) -> ops.Members:
        return await self._members()

    async def _ping(self, operation: ops.Ping, _: RequestContext) -> ops.Done:
        if operation.store:
            await self._store.ping()
        return ops.Done()


def _not_waiting(operation: ops.QueueOperation) -> ops.QueueOperation:
    """Return the same without its wait: it answers what the name of the queue that is gone has now."""
    assert isinstance(operation, ops.Claim | ops.Read), "nothing else waits"
    return msgspec.structs.replace(operation, wait_ms=0)


def _denied() -> FailureError:
    return refuse(Code.ACCESS_DENIED, "access", "The caller may not do this.")


def _refuse_long_bodies(operation: ops.Publish, body_bytes_max: int) -> None:
    for message in operation.messages:
        if len(message.body) > body_bytes_max:
            text = f"{len(message.body)} bytes are more than the {body_bytes_max} that the link allows"
            raise refuse(Code.BODY_TOO_LARGE, "body", text)
