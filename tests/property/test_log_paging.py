"""Paging through a log gives every message once, in order, whatever the pages and the range."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from common.identifiers import MessageId
from common.protocol.operations import NewMessage, QueueSettings
from tests.support.log_node import LogNode, bodies
from tests.support.stores import MemoryStore
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 3), st.sampled_from((None, 0, 5, 400))),
        st.tuples(st.just("page"), st.integers(1, 4), st.none()),
        st.tuples(st.just("pass"), st.integers(1, 500), st.none()),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(STEPS)
def test_a_follower_by_cursor_meets_every_message_once(steps: list[tuple[str, int, int | None]]) -> None:
    """On a store of one node nothing is later than ``complete_until``, so nothing may come twice."""
    loop = VirtualLoop()

    async def run() -> None:
        node = LogNode(MemoryStore(LoopClock(loop)), clock=LoopClock(loop))
        queue = await node.queue(settings=QueueSettings(partitions=3))
        page = await node.read(queue, partitions=(), limit=2)
        sent: list[bytes] = []
        seen: list[bytes] = []
        for kind, number, delay_ms in steps:
            if kind == "pass":
                await asyncio.sleep(number / 1000)
            elif kind == "publish":
                body = str(len(sent)).encode()
                await node.publish(queue, NewMessage(body=body, partition=number, delay_ms=delay_ms))
                sent.append(body)
            else:
                page = await node.read(queue, cursor=page.next, limit=number)
                seen += bodies(page)
        await asyncio.sleep(1)
        while True:
            page = await node.read(queue, cursor=page.next, limit=2)
            if not page.messages:
                break
            seen += bodies(page)
        assert sorted(seen, key=int) == sent
        await node.logs.close()

    run_virtually(loop, run())


@settings(deadline=None)
@given(st.integers(0, 25), st.integers(1, 7), st.data())
def test_pages_of_any_range_equal_the_range(count: int, limit: int, data: st.DataObject) -> None:
    loop = VirtualLoop()

    async def run() -> None:
        node = LogNode(MemoryStore(LoopClock(loop)), clock=LoopClock(loop))
        queue = await node.queue()
        published = await node.publish(queue, *[str(number).encode() for number in range(count)], partition=1)
        ids = [MessageId(one.message_id) for one in published.results]
        ends = st.one_of(st.none(), st.sampled_from(ids)) if ids else st.none()
        since, until = data.draw(ends), data.draw(ends)
        descending = data.draw(st.booleans())
        low, high = (until, since) if descending else (since, until)
        wanted = [one for one in ids if (low is None or one >= low) and (high is None or one <= high)]
        page = await node.read(queue, since=since, until=until, descending=descending, limit=limit)
        found = [message.message_id for message in page.messages]
        while page.messages:
            page = await node.read(queue, cursor=page.next, until=until, descending=descending, limit=limit)
            found += [message.message_id for message in page.messages]
        assert found == (wanted[::-1] if descending else wanted)
        await node.logs.close()

    run_virtually(loop, run())
