"""The log on the real embedded store: publish, read, follow, edit, keys, delays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from common.guarantees import Consistency
from common.identifiers import MessageId, first_id_at, id_after, make_id, ticks_of
from common.protocol.failures import Code, FailureError
from common.protocol.operations import NewMessage, QueueSettings
from storage_node.store.interface import Lane
from storage_node.store.sqlite import open_sqlite_store
from tests.support.log_node import LogNode, bodies


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[LogNode]:
    store = await open_sqlite_store(directory / "queuey.sqlite3")
    node = LogNode(store)
    try:
        yield node
    finally:
        await node.logs.close()
        await store.close()


def on_sqlite(directory: Path, test: Callable[[LogNode], Awaitable[None]]) -> None:
    async def run() -> None:
        async with running(directory) as node:
            await test(node)

    asyncio.run(run())


def test_what_was_published_is_read_back_in_order(tmp_path: Path) -> None:
    async def test(node: LogNode) -> None:
        queue = await node.queue()
        stored = [await node.publish(queue, body) for body in (b"a", b"b", b"c")]
        page = await node.read(queue)
        assert bodies(page) == [b"a", b"b", b"c"]
        assert [message.message_id for message in page.messages] == [one.results[0].message_id for one in stored]
        assert page.complete_until[1] >= page.messages[-1].message_id

    on_sqlite(tmp_path, test)


def test_a_batch_is_stored_in_the_order_sent_in_one_partition(tmp_path: Path) -> None:
    async def test(node: LogNode) -> None:
        queue = await node.queue(settings=QueueSettings(partitions=5))
        published = await node.publish(queue, *[str(number).encode() for number in range(50)])
        assert len({one.partition for one in published.results}) == 1
        assert published.partitions == 5
        page = await node.read(queue, partitions=())
        assert bodies(page) == [str(number).encode() for number in range(50)]

    on_sqlite(tmp_path, test)


def test_many_publishers_get_ids_of_their_own_and_none_is_lost(tmp_path: Path) -> None:
    async def test(node: LogNode) -> None:
        queue = await node.queue()
        published = await asyncio.gather(*[node.publish(queue, str(number).encode()) for number in range(500)])
        ids = {one.results[0].message_id for one in published}
        assert len(ids) == 500
        page = await node.read(queue, limit=1000)
        assert {message.message_id for message in page.messages} == ids
        assert node.logs.writes_under_way == 0

    on_sqlite(tmp_path, test)


def test_a_reader_that_pages_by_cursor_meets_each_message_once(tmp_path: Path) -> None:
    async def test(node: LogNode) -> None:
        queue = await node.queue(settings=QueueSettings(partitions=3))
        for partition in (1, 2, 3):
            await node.publish(
                queue, *[NewMessage(body=b"%d/%d" % (partition, n), partition=partition) for n in range(25)]
            )
        for descending in (False, True):
            page = await node.read(queue, partitions=(), limit=7, descending=descending)
            seen = bodies(page)
            while page.messages:
                page = await node.read(queue, cursor=page.next, limit=7, descending=descending)
                seen += bodies(page)
            assert len(seen) == len(set(seen)) == 75

    on_sqlite(tmp_path, test)


def test_since_is_inclusive_and_after_is_not(tmp_path: Path) -> None:
    async def test(node: LogNode) -> None:
        queue = await node.queue()
        ids = [one.message_id for one in (await node.publish(queue, b"a", b"b", b"c", b"d")).results]
        assert bodies(await node.read(queue, since=ids[1])) == [b"b", b"c", b"d"]
        assert bodies(await node.read(queue, after=ids[1])) == [b"c", b"d"]
        assert bodies(await node.read(queue, since=ids[1], until=ids[2])) == [b"b", b"c"]
        assert bodies(await node.read(queue, since=ids[2], descending=True)) == [b"c", b"b", b"a"]
        assert bodies(await node.read(queue, after=ids[2], descending=True, limit=1)) == [b"b"]

    on_sqlite(tmp_path, test)


def test_a_long_poll_ends_with_the_publish_it_waits_for(tmp_path: Path) -> None:
    async def test(node: LogNode) -> None:
        queue = await node.queue()
        first = await node.read(queue)
        waiting = asyncio.create_task(node.read(queue, cursor=first.next, wait_ms=30_000))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await node.publish(queue, b"news")
        assert bodies(await asyncio.wait_for(waiting, 5)) == [b"news"]

    on_sqlite(tmp_path, test)


def test_a_long_poll_since_a_message_does_not_end_with_that_message(tmp_path: Path) -> None:
    async def test(node: LogNode) -> None:
        queue = await node.queue()
        old = (await node.publish(queue, b"old")).results[0].message_id
        assert bodies(await node.read(queue, since=old, wait_ms=50)) == [b"old"]
        waiting = asyncio.create_task(node.read(queue, since=old, wait_ms=30_000))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await node.publish(queue, b"new")
        assert bodies(await asyncio.wait_for(waiting, 5)) == [b"old", b"new"]

    on_sqlite(tmp_path, test)


def test_a_draining_node_answers_long_polls_at_once(tmp_path: Path) -> None:
    async def test(node: LogNode) -> None:
        queue = await node.queue()
        waiting = asyncio.create_task(node.read(queue, wait_ms=30_000))
        await asyncio.sleep(0.05)
        node.logs.drain()
        assert bodies(await asyncio.wait_for(waiting, 5)) == []

    on_sqlite(tmp_path, test)


def test_a_delayed_message_appears_when_it_is_due_and_wakes_who_waits(tmp_path: Path) -> None:
    async def test(node: LogNode) -> None:
        queue = await node.queue()
        waiting = asyncio.create_task(node.read(queue, wait_ms=30_000))
        await asyncio.sleep(0.05)
        began = node.clock.now_ticks()
        published = await node.publish(queue, NewMessage(body=b"later", delay_ms=300))
        due = published.results[0].message_id
        assert ticks_of(due) >= began + 3_000_000
        assert bodies(await node.read(queue)) == []
        assert bodies(await node.read_ids(queue, (1, due))) == [b"later"]
        assert bodies(await asyncio.wait_for(waiting, 5)) == [b"later"]
        assert node.clock.now_ticks() >= ticks_of(due)

    on_sqlite(tmp_path, test)


def test_due_messages_are_merged_with_the_others_by_id(tmp_path: Path) -> None:
    async def test(node: LogNode) -> None:
        queue = await node.queue()
        await node.publish(queue, b"1")
        await node.publish(queue, NewMessage(body=b"2", delay_ms=50))
        await asyncio.sleep(0.1)
        await node.publish(queue, b"3")
        assert bodies(await node.read(queue)) == [b"1", b"2", b"3"]
        assert bodies(await node.read(queue, descending=True, limit=2)) == [b"3", b"2"]

    on_sqlite(tmp_path, test)


def test_put_makes_and_overwrites_and_delete_removes(tmp_path: Path) -> None:
    async def test(node: LogNode) -> None:
        queue = await node.queue()
        mine = make_id(node.clock.now_ticks() - 10_000_000, b"\x80\x01abcdef")
        await node.put(queue, b"first", (1, mine))
        await node.put(queue, b"second", (1, mine))
        assert bodies(await node.read(queue, since=mine)) == [b"second"]
        await node.delete(queue, (1, mine), (1, id_after(mine)))
        assert bodies(await node.read(queue)) == []
        assert bodies(await node.read_ids(queue, (1, mine))) == []

    on_sqlite(tmp_path, test)


def test_a_key_stores_one_message_however_often_it_is_sent(tmp_path: Path) -> None:
    async def test(node: LogNode) -> None:
        queue = await node.queue(settings=QueueSettings(partitions=4))
        message = NewMessage(body=b"x", idempotency_key="k", content_type="text/plain")
        attempts = await asyncio.gather(*[node.publish(queue, message) for _ in range(20)])
        grown = await node.queues.update("notes", "inbox", QueueSettings(partitions=9))
        attempts.append(await node.publish(grown, msgspec.structs.replace(message, partition=9)))
        places = {(one.results[0].partition, one.results[0].message_id) for one in attempts}
        assert len(places) == 1
        assert bodies(await node.read(grown, partitions=())) == [b"x"]
        other = await node.publish(grown, NewMessage(body=b"y", idempotency_key="k"))
        assert other.results[0].failure is not None
        assert other.results[0].failure.code is Code.IDEMPOTENCY_CONFLICT

    on_sqlite(tmp_path, test)


def test_the_front_ends_attempts_are_one_publish_under_exactly_once(tmp_path: Path) -> None:
    async def test(node: LogNode) -> None:
        queue = await node.queue(application="once")
        attempts = [await node.publish(queue, b"a", b"b", attempt="t1", partition=1) for _ in range(3)]
        assert len({one.results for one in attempts}) == 1
        assert bodies(await node.read(queue)) == [b"a", b"b"]

    on_sqlite(tmp_path, test)


def test_a_partition_key_keeps_its_partition_when_the_queue_grows(tmp_path: Path) -> None:
    async def test(node: LogNode) -> None:
        queue = await node.queue(settings=QueueSettings(partitions=3))
        keys = [f"user-{number}" for number in range(30)]
        before = await node.publish(queue, *[NewMessage(body=b"x", partition_key=key) for key in keys])
        grown = await node.queues.update("notes", "inbox", QueueSettings(partitions=7))
        after = await node.publish(grown, *[NewMessage(body=b"x", partition_key=key) for key in keys])
        assert [one.partition for one in before.results] == [one.partition for one in after.results]
        assert {one.partition for one in before.results} == {1, 2, 3}

    on_sqlite(tmp_path, test)


def test_a_partition_that_the_queue_lacks_is_refused_and_nothing_stored(tmp_path: Path) -> None:
    async def test(node: LogNode) -> None:
        queue = await node.queue(settings=QueueSettings(partitions=2))
        with pytest.raises(FailureError) as refused:
            await node.publish(queue, NewMessage(body=b"x", partition=1), NewMessage(body=b"x", partition=3))
        assert refused.value.failure.code is Code.INVALID_REQUEST
        assert refused.value.failure.field == "1.partition"
        assert bodies(await node.read(queue, partitions=())) == []

    on_sqlite(tmp_path, test)


def test_a_weak_queue_is_read_without_a_promise(tmp_path: Path) -> None:
    async def test(node: LogNode) -> None:
        queue = await node.queue(settings=QueueSettings(consistency=Consistency.WEAK))
        await node.publish(queue, b"a")
        page = await node.read(queue)
        assert bodies(page) == [b"a"]
        assert page.complete_until == {}

    on_sqlite(tmp_path, test)


def test_a_page_is_bounded_in_bytes_and_next_goes_on(tmp_path: Path) -> None:
    async def test(node: LogNode) -> None:
        queue = await node.queue(settings=QueueSettings(partitions=2))
        for partition in (1, 2):
            for _ in range(3):
                await node.publish(queue, NewMessage(body=bytes(4 << 20), partition=partition))
        page = await node.read(queue, partitions=())
        seen = [message.message_id for message in page.messages]
        assert len(seen) == 4
        while page.messages:
            page = await node.read(queue, cursor=page.next)
            seen += [message.message_id for message in page.messages]
        assert len(seen) == len(set(seen)) == 6

    on_sqlite(tmp_path, test)


def test_delivery_lists_both_lanes_and_knows_how_far_it_is_sure(tmp_path: Path) -> None:
    async def test(node: LogNode) -> None:
        queue = await node.queue()
        await node.publish(queue, b"1", b"2", b"3")
        await node.publish(queue, NewMessage(body=b"due", delay_ms=20))
        await asyncio.sleep(0.05)
        lows = dict.fromkeys(Lane, MessageId(bytes(16)))
        listing = await node.logs.listing(queue, 1, low_by_lane=lows, limit=2)
        assert [listed.message.body for listed in listing.messages] == [b"1", b"2", b"due"]
        assert listing.more
        assert listing.sure_until[Lane.LIVE] == listing.messages[1].message.message_id
        assert listing.sure_until[Lane.DELAYED] >= listing.messages[2].message.message_id
        assert await node.logs.count(queue, 1, low_by_lane=lows, limit=100) == 4
        assert (await node.logs.ends(queue))[1] > listing.messages[1].message.message_id
        assert first_id_at(listing.began_ticks) > listing.messages[2].message.message_id

    on_sqlite(tmp_path, test)
