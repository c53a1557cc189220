"""The quota of stored bytes where several nodes share a Cassandra: refused, accepted again, and what it costs."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from common.clock import SYSTEM_CLOCK
from common.protocol.envelope import RequestContext
from common.protocol.failures import Code, FailureError
from common.protocol.operations import NewMessage, Operation, Publish, Published
from common.quota_settings import QuotaSettings
from common.settings import ApplicationSettings
from storage_node.quotas import Quotas
from storage_node.shares import FRESH_S, KEPT_S, WRITE_EVERY_S
from storage_node.store.cql import CassandraStore, open_cassandra_store
from storage_node.stored_bytes import stored_bytes_of
from tests.support.cassandra_operations import Operations, counted
from tests.support.cassandra_store import settings_for, store_lines
from tests.support.deployment import Api
from tests.support.log_node import NOTES, LogNode
from tests.support.service import wait_until
from tests.support.several_nodes import SeveralNodes
from tests.support.store_calls import fresh_name

pytestmark = [pytest.mark.cassandra, pytest.mark.timeout(400)]

BOUND = 1_000
TTL_S = 25
SEEN_WITHIN_S = WRITE_EVERY_S + KEPT_S
MESSAGES = 600
LIMITED = "[applications.queuey.quotas]\nstored_bytes = 1000\n"


def post(api: Api, queue: str, size: int) -> int:
    """Publish so many bytes; return the status."""
    answer = api.post(queue, data=b"x" * size, headers={"X-TTL": str(TTL_S)})
    if answer.status_code == 429:
        assert list(answer.json()["error_msg"]) == ["stored_bytes"]
        assert int(answer.headers["Retry-After"]) >= 1
    return answer.status_code


def test_two_nodes_refuse_what_is_over_the_sum_until_it_has_expired(tmp_path: Path) -> None:
    """What one node stored counts at the other within seconds, and no longer than it lives."""
    lines = store_lines(1, keyspace=f"stored_{os.urandom(4).hex()}")
    service = SeveralNodes(tmp_path, nodes=2, store=lines, more=LIMITED)
    with service:
        service.nodes[1].start()
        api = service.api("queuey")
        first, second = [service.new_queue("queuey", number, (0, 1)) for number in (0, 1)]
        wait_until(lambda: api.get(second) and service.served(1, second), within_s=90, what="use of both nodes")
        assert [post(api, first, 300) for _ in range(4)] == [201, 201, 201, 429]
        assert post(api, first, 60) == 201
        wait_until(lambda: post(api, second, 41) == 429, within_s=SEEN_WITHIN_S + 10, what="the other node's refusal")
        wait_until(lambda: post(api, first, 300) == 201, within_s=TTL_S + 30, what="room after expiry")
        wait_until(lambda: post(api, second, 300) == 201, within_s=10, what="room at the other node")
        assert service.served(0, first)


async def cost(store: CassandraStore, quotas: QuotaSettings) -> Operations:
    """Return what many publishes to one log cost."""
    applications = {"notes": ApplicationSettings(quotas=quotas)}
    sums = stored_bytes_of(store, applications, clock=SYSTEM_CLOCK, member_id=os.urandom(4).hex())
    node = LogNode(store, seed=random.getrandbits(60), on_stored=sums.note if sums else None)
    queue = await node.queue(fresh_name("cost")[:40])

    async def publish(operation: Operation, _: RequestContext) -> Published:
        assert isinstance(operation, Publish)
        return await node.logs.publishing.publish(operation, queue, deadline_s=node.deadline_s)

    handle = Quotas(publish, store, applications=applications, stored=sums)

    async def publisher() -> None:
        for _ in range(MESSAGES // 8):
            message = Publish(
                application="notes",
                queue=queue.name,
                caller=NOTES,
                messages=(NewMessage(body=b"x" * 100),),
                partition=1,
                attempt_key="",
            )
            await handle(message, RequestContext(deadline_s=node.deadline_s))

    tasks = sums.start() if sums else []
    with counted(store) as operations:
        await asyncio.gather(*[publisher() for _ in range(8)])
        if sums:
            await sums.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await node.logs.close()
    return operations


def test_counting_costs_a_write_and_a_read_in_seconds_not_one_a_publish() -> None:
    """Without the quota nothing is written or read for it."""

    async def both() -> tuple[Operations, Operations]:
        store = await open_cassandra_store(settings_for(1))
        try:
            return await cost(store, QuotaSettings()), await cost(store, QuotaSettings(stored_bytes=1 << 40))
        finally:
            await store.close()

    without, beside = asyncio.run(both())
    assert not {name for name in without.by_statement if "share" in name}
    for name in ("batch of write_share", "list_shares"):
        assert 1 <= beside.by_statement[name] <= beside.seconds / min(WRITE_EVERY_S, FRESH_S) + 2
    shares = beside.by_statement["batch of write_share"] + beside.by_statement["list_shares"]
    print(
        f"{without.total / MESSAGES:.3f} operations a message without, {beside.total / MESSAGES:.3f} with the quota"
    )
    assert shares < MESSAGES / 10
    assert {name for name in beside.by_statement if "share" in name} == {"batch of write_share", "list_shares"}


def test_a_node_that_starts_waits_for_the_sum_before_it_admits() -> None:
    """The first publish of a new node is refused by what an earlier one stored."""

    async def scenario() -> None:
        store = await open_cassandra_store(settings_for(1))
        name = fresh_name("app")
        applications = {name: ApplicationSettings(quotas=QuotaSettings(stored_bytes=BOUND))}
        members = [stored_bytes_of(store, applications, clock=SYSTEM_CLOCK, member_id=each) for each in ("a", "b")]
        assert members[0] is not None
        members[0].note(name, BOUND, SYSTEM_CLOCK.now_ticks() + 600_000_000)
        await members[0].close()

        async def never(_: Operation, __: RequestContext) -> Published:
            raise AssertionError("it was admitted")

        handle = Quotas(never, store, applications=applications, stored=members[1])
        message = Publish(
            application=name, queue="q", caller=NOTES, messages=(NewMessage(body=b"x"),), partition=1, attempt_key=""
        )
        with pytest.raises(FailureError) as refused:
            await handle(message, RequestContext(deadline_s=SYSTEM_CLOCK.monotonic_s() + 10))
        assert (refused.value.failure.code, refused.value.failure.field) == (Code.QUOTA_EXCEEDED, "stored_bytes")
        await store.close()

    asyncio.run(scenario())
