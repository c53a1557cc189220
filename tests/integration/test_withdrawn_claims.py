"""A claim that waits is admitted again before it takes anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from common.limits import REVOCATIONS_KEPT_MS
from common.protocol import operations as ops
from common.protocol.envelope import RequestContext
from common.protocol.failures import Code, FailureError
from storage_node.dispatch import Dispatch
from tests.support.delivery_node import DeliveryNode
from tests.support.stores import MemoryStore
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually

WAIT_MS = 30_000
MEMBER = ops.Caller(principals=("bid:ann@example.org",))


class Service:
    """A node that delivers, without its socket."""

    def __init__(self, loop: VirtualLoop, application: str) -> None:
        self.application = application
        self.owner = ops.Caller(principals=(f"app:{application}",))
        store = MemoryStore(LoopClock(loop))
        self.node = DeliveryNode(store, clock=LoopClock(loop))
        self.dispatch = Dispatch(
            store,
            self.node.queues,
            self.node.logs,
            self.node.delivery,
            members=self._members,
            clock=self.node.clock,
        )

    async def _members(self) -> ops.Members:
        return ops.Members(members=())

    async def ask(self, operation: ops.Operation) -> object:
        deadline_s = self.node.clock.monotonic_s() + 2 * WAIT_MS / 1000
        return await self.dispatch(operation, RequestContext(deadline_s=deadline_s))

    async def create(self, principles: str | None = None) -> None:
        settings = ops.QueueSettings(principles=principles)
        await self.ask(
            ops.CreateQueue(application=self.application, queue="inbox", caller=self.owner, settings=settings)
        )

    async def publish(self, body: bytes) -> None:
        messages = (ops.NewMessage(body=body),)
        await self.ask(
            ops.Publish(
                application=self.application,
                queue="inbox",
                caller=self.owner,
                messages=messages,
                partition=1,
                attempt_key=body.decode(),
            )
        )

    async def claim(self, caller: ops.Caller, *, wait_ms: int = 0, ack: tuple[str, ...] = ()) -> ops.Claims:
        answer = await self.ask(
            ops.Claim(
                application=self.application,
                queue="inbox",
                caller=caller,
                group="default",
                limit=10,
                lease_ms=None,
                wait_ms=wait_ms,
                ack=ack,
            )
        )
        assert isinstance(answer, ops.Claims)
        return answer


def serve(test: Callable[[Service], Awaitable[None]], application: str) -> None:
    loop = VirtualLoop()
    service = Service(loop, application)

    async def run() -> None:
        await test(service)
        await service.node.close()

    run_virtually(loop, run())


@pytest.mark.parametrize("application", ["notes", "once", "most"])
def test_a_waiting_claim_of_a_revoked_link_takes_nothing(application: str) -> None:
    """It is refused, and the message is there for the next who may, also where what is taken is gone."""

    async def test(service: Service) -> None:
        await service.create()
        link = ops.LinkGrant(
            link_id="l1", epoch=0, expires_ms=2**50, operations=("claim",), queue="inbox", prefix=False
        )
        waiting = asyncio.create_task(service.claim(ops.Caller(link=link), wait_ms=WAIT_MS))
        await asyncio.sleep(1)
        await service.ask(
            ops.RevokeLinks(
                application=service.application, caller=service.owner, link_id="l1", epoch=None, expires_ms=2**50
            )
        )
        await asyncio.sleep(REVOCATIONS_KEPT_MS / 1000)
        await service.publish(b"x")
        with pytest.raises(FailureError) as error:
            await waiting
        assert error.value.failure.code is Code.ACCESS_DENIED
        assert len((await service.claim(service.owner)).claims) == 1

    serve(test, application)


def test_a_waiting_claim_of_a_principal_taken_off_the_list_takes_nothing() -> None:
    """Acks beside it have counted, and are answered."""

    async def test(service: Service) -> None:
        await service.create("bid:ann@example.org,app:once")
        await service.publish(b"x")
        receipt = (await service.claim(MEMBER)).claims[0].receipt
        assert receipt is not None
        plain = asyncio.create_task(service.claim(MEMBER, wait_ms=WAIT_MS))
        acking = asyncio.create_task(service.claim(MEMBER, wait_ms=WAIT_MS, ack=(receipt,)))
        await asyncio.sleep(1)
        settings = ops.QueueSettings(principles="app:once")
        await service.ask(
            ops.UpdateQueue(application=service.application, queue="inbox", caller=service.owner, settings=settings)
        )
        await service.publish(b"y")
        with pytest.raises(FailureError) as error:
            await plain
        assert error.value.failure.code is Code.ACCESS_DENIED
        answer = await acking
        assert [one.outcome for one in answer.acked] == ["acked"]
        assert answer.claims == ()
        assert len((await service.claim(service.owner)).claims) == 1

    serve(test, "once")
