"""Pages of a long queue on a real Cassandra: ``python -m tests.bench.cassandra_pages [--messages 10000000]``.

One partition of a plain log is filled through the store, ids spread over two and a half days in buckets of 100,000.
Then a storage node's reader, without a socket, reads pages of 100 at the start, in the middle and at the end, by time
and by id, in turns.  What counts is the ratio of the slowest of these medians to the fastest; 2 is the target.  The
cluster is a new one of one node, or the one that ``QUEUEY_TEST_CASSANDRA`` names.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from common.identifiers import TICKS_PER_SECOND, MessageId, first_id_at, make_id, ticks_of
from common.limits import BUCKET_MESSAGES_MAX
from common.protocol.operations import QueueSettings
from storage_node.log.bounds import log_of
from storage_node.store.cql import CassandraStore
from storage_node.store.errors import StoreError
from storage_node.store.interface import Lane, QueueRow, StoredMessage
from tests.bench.cassandra_report import Medians, keep
from tests.support.cassandra_store import open_test_store
from tests.support.log_node import LogNode
from tests.support.store_calls import LOW, STRONG, fresh_name, now

PAGE: Final = 100
BATCH: Final = 1_000
WRITERS: Final = 4
BODY_BYTES: Final = 100
SPREAD_TICKS: Final = 216_000 * TICKS_PER_SECOND
"""Two and a half days: all of it is there while the bench runs, at the default TTL of three."""
RATIO_MAX: Final = 2.0


class Filled:
    """A queue of evenly spaced messages."""

    def __init__(self, queue: QueueRow, messages: int) -> None:
        self.queue = queue
        self.messages = messages
        self._begin = now() - SPREAD_TICKS - 3_600 * TICKS_PER_SECOND
        self._step = SPREAD_TICKS // messages

    def message_id(self, number: int) -> MessageId:
        """Return the id of a message."""
        return make_id(self._begin + number * self._step, LOW)

    async def fill(self, store: CassandraStore) -> None:
        """Write all of it, bucket by bucket."""
        log, body = log_of(self.queue, 1, Lane.LIVE), random.randbytes(BODY_BYTES)
        expires = now() + self.queue.ttl_s * TICKS_PER_SECOND

        async def write(bucket: int, first: int) -> None:
            numbers = range(first, min(first + BATCH, self.messages))
            rows = [StoredMessage(self.message_id(each), body, None, {}, expires) for each in numbers]
            while True:
                try:
                    return await store.append_plain(log, bucket, rows, consistency=STRONG)
                except StoreError as error:  # the same rows again are the same rows
                    sys.stderr.write(f"once more: {error}\n")
                    await asyncio.sleep(1)

        for begin in range(0, self.messages, BUCKET_MESSAGES_MAX):
            bucket = ticks_of(self.message_id(begin))
            await store.open_bucket(log, bucket, last=None, now_ticks=now())
            firsts = iter(range(begin, min(begin + BUCKET_MESSAGES_MAX, self.messages), BATCH))
            await asyncio.gather(*[_write_all(write, bucket, firsts) for _ in range(WRITERS)])
            if begin // BUCKET_MESSAGES_MAX % 10 == 9:
                sys.stderr.write(f"{begin + BUCKET_MESSAGES_MAX:,} messages\n")


async def _write_all(write: Callable[[int, int], Awaitable[None]], bucket: int, firsts: Iterator[int]) -> None:
    for first in firsts:
        await write(bucket, first)


def main() -> int:
    """Fill, read, report; 1 if the ratio is above the target."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cassandra_pages")
    parser.add_argument("--messages", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=100)
    arguments = parser.parse_args()
    return asyncio.run(bench(arguments.messages, arguments.rounds))


async def bench(messages: int, rounds: int) -> int:
    """Run on a store of its own."""
    store = await open_test_store(1)
    node = LogNode(store, seed=random.getrandbits(60))
    try:
        queue = await node.queue(fresh_name("pages"), settings=QueueSettings(ttl_s=3 * 86_400))
        filled, began_s = Filled(queue, messages), time.monotonic()
        await filled.fill(store)
        fill_s = time.monotonic() - began_s
        medians = await read_in_turns(node, filled, rounds)
    finally:
        await node.logs.close()
        await store.close()
    ratio = medians.spread
    keep("cassandra-pages", {"messages": messages, "fill_s": round(fill_s), "ms": medians.ms, "ratio": ratio})
    return int(ratio > RATIO_MAX)


async def read_in_turns(node: LogNode, filled: Filled, rounds: int) -> Medians:
    """Read every page once a round; the first tenth of the rounds warms up."""
    places = {"start": 0, "middle": filled.messages // 2, "end": filled.messages - PAGE}
    medians = Medians(warm_up=rounds // 10)
    for _ in range(rounds):
        for name, number in places.items():
            by_id = filled.message_id(number)
            for kind, since in (("id", by_id), ("time", first_id_at(ticks_of(by_id)))):
                begun_s = time.perf_counter()
                page = await node.read(filled.queue, since=since, limit=PAGE)
                medians.note(f"{name} by {kind}", time.perf_counter() - begun_s)
                if page.messages[0].message_id != by_id or len(page.messages) != PAGE:
                    raise SystemExit(f"a page is not what was written: {name}")
    return medians


if __name__ == "__main__":
    sys.exit(main())
