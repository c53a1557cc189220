"""Operations through dispatch: the table is whole, callers are admitted or refused, store errors become failures."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from common.guarantees import Guarantee, LogKind, Ordering, QueueType
from common.limits import LATE_WINDOW_MS
from common.protocol import operations as ops
from common.protocol.envelope import RequestContext
from common.protocol.failures import Code, FailureError
from storage_node.dispatch import DeliveryOperations, Dispatch
from storage_node.store.errors import (
    StoreError,
    StoreFailedError,
    StoreFullError,
    StoreOverloadedError,
    StoreUnknownError,
)
from storage_node.store.interface import Store
from tests.support.log_node import NOTES, LogNode
from tests.support.stores import MemoryCluster, MemoryStore
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually

STRANGER = ops.Caller(principals=("app:other",))
NOBODY = ops.Caller()


class Service:
    """A node's operations without its socket."""

    def __init__(self, loop: VirtualLoop, store: Store) -> None:
        self.node = LogNode(store, clock=LoopClock(loop))
        self.dispatch = Dispatch(
            store,
            self.node.queues,
            self.node.logs,
            cast(DeliveryOperations, None),
            members=self._members,
            clock=self.node.clock,
        )

    async def _members(self) -> ops.Members:
        return ops.Members(members=())

    async def ask(self, operation: ops.Operation) -> object:
        return await self.dispatch(operation, RequestContext(deadline_s=self.node.deadline_s))

    async def refused(self, operation: ops.Operation) -> Code:
        with pytest.raises(FailureError) as error:
            await self.ask(operation)
        return error.value.failure.code


def serve(test: Callable[[Service], Awaitable[None]], *, cluster: bool = False) -> None:
    loop = VirtualLoop()
    clock = LoopClock(loop)
    service = Service(loop, MemoryCluster(clock) if cluster else MemoryStore(clock))

    async def run() -> None:
        await test(service)
        await service.node.logs.close()

    run_virtually(loop, run())


def create(caller: ops.Caller = NOTES, **settings: object) -> ops.CreateQueue:
    made = ops.QueueSettings(**settings)  # type: ignore[arg-type]
    return ops.CreateQueue(application="notes", queue="inbox", caller=caller, settings=made)


def update(**settings: object) -> ops.UpdateQueue:
    made = ops.QueueSettings(**settings)  # type: ignore[arg-type]
    return ops.UpdateQueue(application="notes", queue="inbox", caller=NOTES, settings=made)


def publish(body: bytes = b"x", caller: ops.Caller = NOTES) -> ops.Publish:
    messages = (ops.NewMessage(body=body),)
    return ops.Publish(
        application="notes", queue="inbox", caller=caller, messages=messages, partition=0, attempt_key=""
    )


def read(caller: ops.Caller = NOTES) -> ops.Read:
    return ops.Read(application="notes", queue="inbox", caller=caller, partitions=(1,), limit=10)


def named(kind: type[ops.QueueOperation], caller: ops.Caller = NOTES) -> ops.QueueOperation:
    return kind(application="notes", queue="inbox", caller=caller)


def test_every_operation_but_cancel_has_its_handler() -> None:
    async def test(service: Service) -> None:
        assert set(service.dispatch.table) == set(ops.OPERATIONS.values()) - {ops.Cancel, ops.EndWait}

    serve(test)


def test_a_stranger_is_refused_before_the_queue_is_looked_for() -> None:
    async def test(service: Service) -> None:
        for operation in (publish(caller=STRANGER), read(NOBODY), create(STRANGER)):
            assert await service.refused(operation) is Code.ACCESS_DENIED
        assert await service.refused(read()) is Code.QUEUE_NOT_FOUND
        await service.ask(create())
        assert await service.refused(read(STRANGER)) is Code.ACCESS_DENIED

    serve(test)


def test_a_right_given_on_another_node_counts_at_once() -> None:
    """*No* is never said from a remembered row."""

    async def test(service: Service) -> None:
        await service.ask(create())
        assert await service.refused(read(STRANGER)) is Code.ACCESS_DENIED
        await LogNode(service.node.store, clock=service.node.clock, seed=2).queues.update(
            "notes", "inbox", ops.QueueSettings(principles="app:other")
        )
        await service.ask(read(STRANGER))
        assert await service.refused(publish(caller=STRANGER)) is Code.ACCESS_DENIED

    serve(test, cluster=True)


def test_a_link_is_admitted_until_it_is_revoked() -> None:
    async def test(service: Service) -> None:
        await service.ask(create())
        now_s = 1_800_000_000
        grant = ops.LinkGrant(
            link_id="l1",
            epoch=0,
            operations=("read", "publish"),
            queue="in",
            prefix=True,
            expires_ms=(now_s + 3_600) * 1000,
            body_bytes_max=4,
        )
        caller = ops.Caller(link=grant)
        await service.ask(read(caller))
        await service.ask(publish(b"1234", caller))
        assert await service.refused(publish(b"12345", caller)) is Code.BODY_TOO_LARGE
        revoke = ops.RevokeLinks(
            application="notes", caller=NOTES, link_id="l1", epoch=None, expires_ms=grant.expires_ms
        )
        other = Service(cast(VirtualLoop, asyncio.get_running_loop()), service.node.store)
        await other.ask(revoke)
        await asyncio.sleep(5)
        assert await service.refused(read(caller)) is Code.ACCESS_DENIED

    serve(test)


def test_creating_again_changes_only_what_was_sent() -> None:
    async def test(service: Service) -> None:
        first = await service.ask(create(partitions=5, ttl_s=100, type=QueueType.PUBLIC))
        again = await service.ask(create(partitions=2, lease_ms=5_000))
        assert isinstance(first, ops.QueueInfo)
        assert isinstance(again, ops.QueueInfo)
        assert (again.partitions, again.ttl_s, again.type, again.lease_ms) == (5, 100, QueueType.PUBLIC, 5_000)
        assert again.created_ticks == first.created_ticks

    serve(test)


def test_an_update_never_shrinks_a_queue_nor_changes_its_log() -> None:
    async def test(service: Service) -> None:
        await service.ask(create(partitions=5))
        assert await service.refused(update(partitions=4)) is Code.INVALID_UPDATE
        assert await service.refused(update(log=LogKind.FENCED)) is Code.INVALID_UPDATE
        assert await service.refused(update(ordering=Ordering.STRICT)) is Code.INVALID_UPDATE
        assert await service.refused(update(dead_letter_queue="inbox")) is Code.INVALID_PARAMETER
        await service.ask(update(partitions=6))

    serve(test, cluster=True)


def test_the_kind_of_log_follows_the_store_the_guarantee_and_the_wish() -> None:
    async def test(service: Service) -> None:
        queues = service.node.queues
        wanted = {
            ("notes", None): LogKind.PLAIN,
            ("notes", LogKind.FENCED): LogKind.FENCED,
            ("once", None): LogKind.FENCED,
            ("once", LogKind.PLAIN): LogKind.FENCED,
            ("most", None): LogKind.PLAIN,
            ("fenced", None): LogKind.FENCED,
        }
        for (application, log), kind in wanted.items():
            row = await queues.create(application, f"q{log}", ops.QueueSettings(log=log))
            assert row.log is kind
        strict = await queues.create("notes", "strict", ops.QueueSettings(ordering=Ordering.STRICT))
        assert strict.log is LogKind.FENCED
        with pytest.raises(FailureError):
            await queues.create("most", "strict", ops.QueueSettings(ordering=Ordering.STRICT))
        assert (await queues.create("once", "g", ops.QueueSettings())).guarantee is Guarantee.EXACTLY_ONCE

    serve(test, cluster=True)


@pytest.mark.parametrize("kind", [ops.DeleteQueue, ops.PurgeQueue])
def test_a_queue_that_is_deleted_or_purged_comes_back_empty(kind: type[ops.QueueOperation]) -> None:
    async def test(service: Service) -> None:
        await service.ask(create())
        await service.ask(publish())
        await service.ask(named(kind))
        await service.ask(create())
        page = await service.ask(read())
        assert isinstance(page, ops.MessagesRead)
        assert page.messages == ()

    serve(test)


@pytest.mark.parametrize("kind", [ops.DeleteQueue, ops.PurgeQueue])
def test_nothing_is_acknowledged_into_a_queue_that_is_gone(kind: type[ops.QueueOperation]) -> None:
    """The other node still remembers the old row; what it acknowledges after the answer must be readable."""

    async def test(service: Service) -> None:
        other = LogNode(service.node.store, clock=service.node.clock, seed=2)
        await service.ask(create(log=LogKind.FENCED))
        old = await other.queues.find("notes", "inbox")
        await service.ask(named(kind))
        await service.ask(create(log=LogKind.FENCED))
        assert service.node.clock.monotonic_s() >= LATE_WINDOW_MS / 2000
        published = await other.publish(old, b"late")
        assert published.results[0].failure is not None
        row = await other.queues.find("notes", "inbox")
        assert row.queue_id != old.queue_id

    serve(test, cluster=True)


def test_a_page_of_queues_counts_where_asked() -> None:
    async def test(service: Service) -> None:
        for name in ("a", "b", "c"):
            row = await service.node.queue(name)
            await service.node.publish(row, *[b"x"] * ord(name))
        wanted = ops.ListQueues(application="notes", caller=NOTES, offset="b", limit=1, include_count=True)
        page = await service.ask(wanted)
        assert isinstance(page, ops.QueuesListed)
        assert [(info.queue, info.count) for info in page.queues] == [("b", 98)]
        assert page.next == "c"

    serve(test)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreFailedError("x"), Code.STORE_UNAVAILABLE),
        (StoreOverloadedError("x"), Code.OVERLOADED),
        (StoreFullError("x"), Code.STORE_FULL),
        (StoreUnknownError("x"), Code.OUTCOME_UNKNOWN),
    ],
)
def test_a_stores_error_is_answered_by_its_name(
    error: StoreError, code: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(service: Service) -> None:
        async def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(service.node.store, "insert_queue", fail)
        wanted = ops.CreateQueue(application="notes", caller=NOTES, queue="new", settings=ops.QueueSettings())
        assert await service.refused(wanted) is code

    serve(test)


def test_many_queues_leave_a_bounded_memory() -> None:
    async def test(service: Service) -> None:
        names = [f"q{number}" for number in range(300)]
        random.Random(1).shuffle(names)
        for name in names:
            await service.node.publish(await service.node.queue(name), b"x")
        assert service.node.logs.writes_under_way == 0
        await asyncio.sleep(LATE_WINDOW_MS / 1000)
        await service.node.queue("last")
        assert service.node.queues.remembered == 1

    serve(test)
