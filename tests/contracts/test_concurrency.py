"""Many callers at once: commit order is id order, and each key has one winner."""

from __future__ import annotations

import asyncio

from common.identifiers import LOWEST, MessageId, id_after, make_id
from storage_node.store.interface import AppendAnswer, Applied, KeyPresent, LogAddress, Store
from tests.support.store_calls import LOW, append_surely, fresh_log, list_all, now, open_log

WRITERS = 8
APPENDS_EACH = 10


async def test_concurrent_appends_are_all_there_in_id_order(store: Store) -> None:
    """Whoever is behind stamps anew; in the end each message is stored exactly once."""
    log = fresh_log()
    bucket = await open_log(store, log)

    async def write(writer: int) -> None:
        for n in range(APPENDS_EACH):
            body = b"%d.%d" % (writer, n)
            answer = await append_surely(store, log, bucket, body, key=body, first=make_id(now(), LOW))
            assert answer == Applied()

    await asyncio.gather(*[write(writer) for writer in range(WRITERS)])
    found = await list_all(store, log, bucket)
    assert sorted(row.body for row in found) == sorted(
        b"%d.%d" % (writer, n) for writer in range(WRITERS) for n in range(APPENDS_EACH)
    )
    for writer in range(WRITERS):
        own = [row.body for row in found if row.body.startswith(b"%d." % writer)]
        assert own == [b"%d.%d" % (writer, n) for n in range(APPENDS_EACH)]


async def test_a_reader_that_follows_the_fence_misses_nothing(store: Store) -> None:
    """What is listed up to a ``last`` read before is final: nothing ever appears at or below it."""
    log = fresh_log()
    bucket = await open_log(store, log)
    writing = asyncio.gather(*[_write_some(store, log, bucket, writer) for writer in range(WRITERS)])
    seen: list[MessageId] = []
    low, is_writing = LOWEST, True
    while is_writing:
        is_writing = not writing.done()
        fence = await store.read_fence(log, bucket)
        if fence is not None and fence.last >= low:
            seen += [row.message_id for row in await list_all(store, log, bucket, low=low, high=fence.last)]
            low = id_after(fence.last)
        await asyncio.sleep(0)
    await writing
    assert seen == [row.message_id for row in await list_all(store, log, bucket)]
    assert len(seen) == WRITERS * APPENDS_EACH


async def _write_some(store: Store, log: LogAddress, bucket: int, writer: int) -> None:
    for n in range(APPENDS_EACH):
        body = b"%d.%d" % (writer, n)
        await append_surely(store, log, bucket, body, key=body, first=make_id(now(), LOW))


async def test_exactly_one_append_wins_a_key(store: Store) -> None:
    """The others are all told the winner's id, and nothing of theirs is stored."""
    log, moment = fresh_log(), now()
    bucket = await open_log(store, log)

    async def attempt(n: int) -> AppendAnswer:
        first = make_id(moment + n, LOW[:-1] + bytes([n]))
        return await append_surely(store, log, bucket, b"%d" % n, key=b"key", first=first)

    answers = await asyncio.gather(*[attempt(n) for n in range(10)])
    assert answers.count(Applied()) == 1
    (stored,) = await list_all(store, log, bucket)
    assert stored.body == b"%d" % answers.index(Applied())
    others = [answer for answer in answers if answer != Applied()]
    assert others == [KeyPresent({b"key": stored.message_id})] * 9
