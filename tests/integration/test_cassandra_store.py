"""The Cassandra store beyond its contract: crashes between two writes, frozen hosts, bounds."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import msgspec
import pytest

from common.clock import SYSTEM_CLOCK
from common.guarantees import Consistency
from common.identifiers import HIGHEST, LOWEST, TICKS_PER_SECOND, make_id
from storage_node.store.cql import CassandraStore, open_cassandra_store
from storage_node.store.cql.buckets import place_of
from storage_node.store.cql.erasures import PARTITIONS_PER_STEP, _shard
from storage_node.store.cql.session import CqlSession
from storage_node.store.errors import StoreError, StoreFailedError, StoreOverloadedError, StoreUnknownError
from storage_node.store.interface import LogAddress, QueueRow
from tests.support.cassandra import shared_cluster
from tests.support.cassandra_store import settings_for
from tests.support.clock import ManualClock
from tests.support.store_calls import LOW, STRONG, fresh_log, fresh_name, message, now, queue_row

pytestmark = [pytest.mark.cassandra, pytest.mark.timeout(400)]
MINUTE_TICKS = 60 * TICKS_PER_SECOND


@asynccontextmanager
async def opened(nodes: int = 1, clock: ManualClock | None = None) -> AsyncIterator[CassandraStore]:
    store = await open_cassandra_store(settings_for(nodes), clock=clock or SYSTEM_CLOCK)
    try:
        yield store
    finally:
        await store.close()


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.2)


# what a crash leaves between two writes


def test_a_queue_whose_creator_crashed_is_listed_and_the_listing_mended() -> None:
    """The row was made, its copy was not: a page shows the row, and repairs the listing once it is surely decided."""

    async def scenario() -> None:
        clock = ManualClock(now())
        async with opened(clock=clock) as store:
            row = queue_row(fresh_name("app"), "halfway")
            await store._queues._listing.doubt(row)
            await store._queues._insert(row)
            for ticks in (0, 2 * MINUTE_TICKS):
                clock.advance(ticks=ticks)
                assert await store.list_queues(row.application, offset=None, limit=10) == ([row], None)
            assert await _doubts_of(store, row) == 0
            assert await store.list_queues(row.application, offset=None, limit=10) == ([row], None)

    asyncio.run(scenario())


def test_a_queue_whose_remover_crashed_is_not_listed() -> None:
    """The row is gone, its copy is not: no page shows it, and the copy goes."""

    async def scenario() -> None:
        clock = ManualClock(now())
        async with opened(clock=clock) as store:
            row = queue_row(fresh_name("app"), "half-gone")
            await store.insert_queue(row)
            await store._queues._listing.doubt(row)
            await store._session.compare_and_set("remove_queue", row.application, row.name, row.version, row.queue_id)
            for ticks in (0, 2 * MINUTE_TICKS):
                clock.advance(ticks=ticks)
                assert await store.list_queues(row.application, offset=None, limit=10) == ([], None)
            assert await _doubts_of(store, row) == 0

    asyncio.run(scenario())


async def _doubts_of(store: CassandraStore, row: QueueRow) -> int:
    count = 0
    for shard in range(32):
        rows = await store._session.read("list_shard", row.application, shard, "", 10)
        count += sum(len(doubts or ()) for _, _, doubts, _ in rows)
    return count


def test_the_data_of_a_queue_that_was_not_removed_after_all_are_kept() -> None:
    """A removal that was begun and refused leaves an entry to erase; it is struck off, not carried out."""

    async def scenario() -> None:
        clock = ManualClock(now())
        async with opened(clock=clock) as store:
            row = queue_row(fresh_name("app"), "kept")
            await store.insert_queue(row)
            log = fresh_log()._replace(queue_id=row.queue_id)
            bucket = now()
            await store.open_bucket(log, bucket, last=LOWEST, now_ticks=bucket)
            await store.append_fenced(log, bucket, [message(make_id(bucket, LOW))], consistency=STRONG)
            assert not await store.remove_queue(msgspec.structs.replace(row, version=99))
            for ticks in (0, 2 * MINUTE_TICKS):
                clock.advance(ticks=ticks)
                while await store.erase_step(now_ticks=clock.now_ticks()):
                    pass
                found = await store.list_messages(log, bucket, low=LOWEST, high=HIGHEST, limit=10, now_ticks=bucket)
                assert len(found) == 1

    asyncio.run(scenario())


def test_what_a_late_note_left_of_an_erasure_is_struck_off() -> None:
    """Another node ended the erasure while this one noted how far it had come: erasing goes on, here and there."""

    async def scenario() -> None:
        async with opened() as store:
            row = msgspec.structs.replace(queue_row(fresh_name("app"), "gone"), partitions=PARTITIONS_PER_STEP + 1)
            place = (_shard(row.queue_id), row.queue_id)
            await store.forget_data(row)
            await _erase_all(store)
            await store._session.write("advance_erasure", PARTITIONS_PER_STEP + 1, *place)
            await _erase_all(store)
            erasures = await store._session.read("list_erasures", place[0], 1_000)
            assert row.queue_id not in [queue_id for queue_id, *_ in erasures]

    asyncio.run(scenario())


async def _erase_all(store: CassandraStore) -> None:
    while await store.erase_step(now_ticks=now()):
        pass


class FailingSession:
    """The real session, but these statements fail: unasked, or done without an answer where they are conditional."""

    def __init__(self, session: CqlSession, failing: dict[str, StoreError]) -> None:
        self._session = session
        self._failing = failing

    async def read(self, name: str, *values: object) -> object:
        self._fail(name)
        return await self._session.read(name, *values)

    async def write(self, name: str, *values: object) -> None:
        self._fail(name)
        await self._session.write(name, *values)

    async def compare_and_set(self, name: str, *values: object) -> object:
        done = await self._session.compare_and_set(name, *values)
        self._fail(name)
        return done

    def _fail(self, name: str) -> None:
        if name in self._failing:
            raise self._failing[name]


def _fail_at(store: CassandraStore, **failing: StoreError) -> None:
    session = cast("CqlSession", FailingSession(store._session, failing))
    store._queues._session = store._queues._listing._session = store._queues._erasures._session = session


def test_a_change_of_a_queue_that_is_done_is_not_told_as_failed() -> None:
    """The row decides; what follows is mended as after a crash, where it fails."""
    refused = StoreFailedError("refused")

    async def scenario() -> None:
        clock = ManualClock(now())
        async with opened(clock=clock) as store:
            session, row = store._session, queue_row(fresh_name("app"), "done")
            _fail_at(store, write_listing=refused, clear_listing=refused, write_erasure=refused)
            assert await store.insert_queue(row) is None
            changed = msgspec.structs.replace(row, ttl_s=60, version=row.version + 1)
            assert await store.replace_queue(changed, row.version)
            assert await store.list_queues(row.application, offset=None, limit=10) == ([changed], None)
            _fail_at(store, clear_listing=refused)
            assert await store.remove_queue(changed)
            assert await store.list_queues(row.application, offset=None, limit=10) == ([], None)
            store._queues._session = store._queues._listing._session = session
            clock.advance(ticks=2 * MINUTE_TICKS)
            assert await store.list_queues(row.application, offset=None, limit=10) == ([], None)
            assert await _doubts_of(store, row) == 0

    asyncio.run(scenario())


def test_a_queue_that_may_have_been_made_is_not_told_as_failed() -> None:
    """Neither the insert nor the look at what became of it was answered."""

    async def scenario() -> None:
        async with opened() as store:
            _fail_at(
                store, insert_queue=StoreUnknownError("no answer"), read_queue_serially=StoreFailedError("no answer")
            )
            with pytest.raises(StoreUnknownError):
                await store.insert_queue(queue_row(fresh_name("app"), "perhaps"))

    asyncio.run(scenario())


def test_pages_that_reach_over_many_shards_hold_every_queue_once() -> None:
    """Wherever a page begins: what follows in other shards is taken from their beginning."""

    async def scenario() -> None:
        async with opened() as store:
            application = fresh_name("app")
            rows = [queue_row(application, f"queue-{number}") for number in range(200)]
            await asyncio.gather(*[_list_only(store, row) for row in rows])
            for limit in (7, 40, 150):
                found: list[str] = []
                offset: str | None = None
                while offset is not None or not found:
                    page, offset = await store.list_queues(application, offset=offset, limit=limit)
                    found += [row.name for row in page]
                assert sorted(found) == sorted(row.name for row in rows)

    asyncio.run(scenario())


async def _list_only(store: CassandraStore, row: QueueRow) -> None:
    """Write the listing's copy of a row that nobody doubts."""
    listing = store._queues._listing
    await listing.settle(await listing.doubt(row), row)


# lifetimes


@pytest.mark.parametrize("bucket", [0, 1], ids=["the first bucket", "a bucket of now"])
def test_the_index_outlives_messages_that_live_longer_than_their_table(bucket: int) -> None:
    """A month's message in a log of an hour, or in a bucket that never rolled, stays findable for its month."""

    async def scenario() -> None:
        async with opened() as store:
            moment = now()
            log, begin = fresh_log()._replace(lifetime=0), moment * bucket
            ends = moment + 30 * 24 * 60 * MINUTE_TICKS
            await store.open_bucket(log, begin, last=LOWEST, now_ticks=moment)
            rows = [message(make_id(moment, LOW), expires_ticks=ends)]
            await store.append_fenced(log, begin, rows, consistency=STRONG)
            assert [(row.bucket, row.announced_ticks) for row in await store.list_buckets(log)] == [(begin, moment)]
            assert store._buckets._until[place_of(log, begin)] >= ends

    asyncio.run(scenario())


# the way to the cluster


def test_small_writes_are_not_held_back_by_the_kernel() -> None:
    """Every connection has Nagle's algorithm off: without it each batch over 4 KB takes 40 ms longer."""

    async def scenario() -> None:
        async with opened() as store:
            pools = store._session.connection._session._pools.values()
            sockets = [pool._connection._socket for pool in pools]
            assert sockets
            assert all(each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for each in sockets)

    asyncio.run(scenario())


def test_too_many_statements_are_refused_and_the_rest_is_answered() -> None:
    """What waits is bounded; beyond the bound the answer is overload at once."""

    async def scenario() -> None:
        async with opened() as store:
            answers = await asyncio.gather(*[store.ping() for _ in range(9_000)], return_exceptions=True)
            refused = [answer for answer in answers if answer is not None]
            assert refused
            assert all(isinstance(answer, StoreOverloadedError) for answer in refused)
            assert answers.count(None) >= 8_192

    asyncio.run(scenario())


def test_a_cancelled_call_gives_its_place_back() -> None:
    """Callers that leave before the answer cost nothing afterwards."""

    async def scenario() -> None:
        async with opened() as store:
            for _ in range(3):
                tasks = [asyncio.create_task(store.ping()) for _ in range(400)]
                await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.wait_for(store.ping(), 5)
            assert store._session._waiting == 0

    asyncio.run(scenario())


def test_the_hosts_clocks_are_read() -> None:
    """On one machine they agree with ours to within the round trip."""

    async def scenario() -> None:
        async with opened(3) as store:
            times = await store.read_clocks()
            assert len(times) == 3
            for each in times:
                assert each.sent_ticks - TICKS_PER_SECOND // 100 <= each.host_ticks
                assert each.host_ticks <= each.received_ticks + TICKS_PER_SECOND // 100

    asyncio.run(scenario())


# frozen hosts


@asynccontextmanager
async def frozen(*numbers: int) -> AsyncIterator[None]:
    """These nodes of the cluster of three stand still; afterwards the ring is whole again."""
    cluster = shared_cluster(3)
    nodes = [cluster.nodes[number - 1] for number in numbers]
    for node in nodes:
        node.send(signal.SIGSTOP)
    try:
        yield
    finally:
        for node in nodes:
            node.send(signal.SIGCONT)
        for node in cluster.nodes:
            await asyncio.to_thread(node.wait_until_ready, patience_seconds=120)


def test_one_frozen_host_of_three_is_no_outage() -> None:
    """Idempotent statements all succeed well within D/2; conditional ones do once the host is noticed."""

    async def scenario() -> None:
        async with opened(3) as store:
            log, bucket = fresh_log(), now()
            await store.open_bucket(log, bucket, last=LOWEST, now_ticks=bucket)
            slowest_s, conditional = 0.0, list[bool]()
            async with frozen(3):
                begun = time.monotonic()
                while time.monotonic() - begun < 8:
                    sent = time.monotonic()
                    rows = [message(make_id(now(), LOW))]
                    await store.append_plain(log, bucket, rows, consistency=STRONG)
                    found = await store.read_messages(log, bucket, [rows[0].message_id], now_ticks=now())
                    assert len(found) == 1
                    slowest_s = max(slowest_s, time.monotonic() - sent)
                    conditional.append(await _succeeds(store.insert_queue(queue_row(fresh_name("app"), "q"))))
                    await asyncio.sleep(0.02)
            assert slowest_s < 2.5
            assert all(conditional[-10:])
            assert conditional.count(False) <= 3

    asyncio.run(scenario())


def test_two_frozen_hosts_of_three_are_told_and_outlived() -> None:
    """No write is acknowledged, each is told in time, weak reads go on; afterwards the same store works again.

    While the hosts are taken to be there a write is unknown and a read has failed (time-outs); once they are known
    to be away all are refused before they begin (unavailable), so that they have certainly failed.
    """

    async def scenario() -> None:
        async with opened(3) as store:
            log, bucket = fresh_log(), now()
            await store.open_bucket(log, bucket, last=LOWEST, now_ticks=bucket)
            stored = message(make_id(bucket, LOW))
            await store.append_plain(log, bucket, [stored], consistency=STRONG)
            async with frozen(2, 3):
                kinds: list[type[StoreError] | None] = []
                for call in (_append(store, log, bucket), store.list_buckets(log), _append(store, log, bucket)):
                    sent = time.monotonic()
                    kinds.append(await _error_of(call))
                    assert time.monotonic() - sent < 3
                assert kinds == [StoreUnknownError, StoreFailedError, StoreUnknownError]
                await until(lambda: _reads_weakly(store, bucket, log), seconds=20)
                await until(lambda: _is_refused(_append(store, log, bucket)), seconds=40)
                insert = store.insert_queue(queue_row(fresh_name("app"), "refused"))
                assert await _error_of(insert) is StoreFailedError
            await until(lambda: _succeeds(store.insert_queue(queue_row(fresh_name("app"), "after"))), seconds=30)

    async def _reads_weakly(store: CassandraStore, bucket: int, log: LogAddress) -> bool:
        try:
            found = await store.list_messages(
                log,
                bucket,
                low=LOWEST,
                high=HIGHEST,
                limit=10,
                now_ticks=now(),
                consistency=Consistency.WEAK,
            )
        except StoreError:
            return False
        return len(found) >= 1

    asyncio.run(scenario())


async def _append(store: CassandraStore, log: LogAddress, bucket: int) -> None:
    await store.append_plain(log, bucket, [message(make_id(now(), LOW))], consistency=STRONG)


async def _error_of(call: Awaitable[object]) -> type[StoreError] | None:
    try:
        await call
    except StoreError as error:
        return type(error)
    return None


async def _is_refused(call: Awaitable[object]) -> bool:
    return await _error_of(call) is StoreFailedError


async def _succeeds(call: Awaitable[object]) -> bool:
    try:
        await call
    except StoreError:
        return False
    return True
