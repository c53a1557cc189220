"""What a listing promises rests on an index that is read after the promise is known."""

from __future__ import annotations

import asyncio
from typing import cast

from common.identifiers import LOWEST, TICKS_PER_SECOND, MessageId
from common.protocol.operations import NewMessage
from storage_node.log.buckets import SPAN_TICKS
from storage_node.store.interface import BucketRow, Lane, LogAddress, Store
from tests.support.log_node import LogNode, bodies
from tests.support.stores import MemoryCluster
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually

BOTH = dict.fromkeys(Lane, LOWEST)


class SlowIndex(MemoryCluster):
    """The first read of the live lane's index waits on its way to the store."""

    reads = 0

    async def list_buckets(self, log: LogAddress) -> list[BucketRow]:
        self.reads += log.lane is Lane.LIVE
        if log.lane is Lane.LIVE and self.reads == 1:
            await asyncio.sleep(1)
        return await super().list_buckets(log)


class CountedIndex(MemoryCluster):
    """Counts reads of the index."""

    reads = 0

    async def list_buckets(self, log: LogAddress) -> list[BucketRow]:
        self.reads += 1
        return await super().list_buckets(log)


def test_what_a_fence_promises_is_looked_for_by_a_later_index() -> None:
    """A promise read slowly, and an index read meanwhile by another request: the listing misses nothing it covers."""
    loop = VirtualLoop()

    async def scene() -> None:
        clock = LoopClock(loop)
        store = cast("Store", SlowIndex(clock))
        node, other = (LogNode(store, clock=clock, seed=seed) for seed in (1, 2))
        queue = await node.queue(application="fenced")
        slow = asyncio.create_task(node.logs.listing(queue, 1, low_by_lane=BOTH, limit=10))
        await asyncio.sleep(0.1)
        assert (await node.read(queue)).messages == ()
        stored = (await other.publish(queue, b"early")).results[0]
        listing = await slow
        assert listing.sure_until[Lane.LIVE] >= stored.message_id
        assert [one.message.message_id for one in listing.messages] == [stored.message_id]
        await node.logs.close()
        await other.logs.close()

    run_virtually(loop, scene())


def test_a_page_shows_what_its_reader_learnt_of() -> None:
    """The same for a page: an index that another request read before ``last`` was known does not serve it."""
    loop = VirtualLoop()

    async def scene() -> None:
        clock = LoopClock(loop)
        store = cast("Store", SlowIndex(clock))
        node, other = (LogNode(store, clock=clock, seed=seed) for seed in (1, 2))
        queue = await node.queue(application="fenced")
        slow = asyncio.create_task(node.read(queue))
        await asyncio.sleep(0.1)
        assert (await node.read(queue)).messages == ()
        stored = (await other.publish(queue, b"early")).results[0]
        page = await slow
        assert [message.message_id for message in page.messages] == [stored.message_id]
        await node.logs.close()
        await other.logs.close()

    run_virtually(loop, scene())


def test_an_index_serves_until_more_is_promised() -> None:
    """A second page within the second asks for no index; after an append, whose bucket may be new, it does."""
    loop = VirtualLoop()

    async def scene() -> None:
        clock = LoopClock(loop)
        kept = CountedIndex(clock)
        node = LogNode(cast("Store", kept), clock=clock, seed=1)
        queue = await node.queue(application="fenced")
        await node.publish(queue, b"first")
        await node.read(queue)
        asked = kept.reads
        assert bodies(await node.read(queue)) == [b"first"]
        assert kept.reads == asked
        await node.publish(queue, b"second")
        assert bodies(await node.read(queue)) == [b"first", b"second"]
        assert kept.reads > asked
        await node.logs.close()

    run_virtually(loop, scene())


class SlowToOpen(MemoryCluster):
    """A bucket that one node opens comes to the store late."""

    by_s = 0.0

    async def open_bucket(self, log: LogAddress, bucket: int, *, last: MessageId | None, now_ticks: int) -> None:
        by_s, self.by_s = self.by_s, 0.0
        await asyncio.sleep(by_s)
        await super().open_bucket(log, bucket, last=last, now_ticks=now_ticks)


def test_what_is_due_just_before_a_bucket_begins_is_not_promised_away() -> None:
    """The later bucket is there, the earlier not yet: another node may be about to make it, with a message in it."""
    loop = VirtualLoop()

    async def scene() -> None:
        clock = LoopClock(loop)
        store = SlowToOpen(clock)
        node, other = (LogNode(cast("Store", store), clock=clock, seed=seed) for seed in (1, 2))
        queue = await node.queue(application="fenced")
        await asyncio.sleep((SPAN_TICKS - clock.now_ticks() % SPAN_TICKS) / TICKS_PER_SECOND - 3)
        await node.publish(queue, NewMessage(body=b"later", delay_ms=3_200), b"now")
        await asyncio.sleep(2.5)
        store.by_s = 1.5
        publishing = asyncio.create_task(other.publish(queue, NewMessage(body=b"at the edge", delay_ms=200)))
        await asyncio.sleep(1)
        listing = await node.logs.listing(queue, 1, low_by_lane=BOTH, limit=10)
        (stored,) = (await publishing).results
        assert stored.failure is None
        assert stored.message_id > listing.sure_until[Lane.DELAYED]
        await node.logs.close()
        await other.logs.close()

    run_virtually(loop, scene())
