"""Many queues beside a thousand on a real Cassandra: ``python -m tests.bench.cassandra_queues [--queues 1000000]``.

Two keyspaces of one cluster: one holds a thousand queues with a message each, the other as many as asked for.  Nodes
without a socket then publish to, and read, queues drawn at random that they have not used before, in turns between
the two; what counts is the ratio of the medians.  Then the names of all queues are paged through, by the thousand.
The cluster is a new one of one node, or the one that ``QUEUEY_TEST_CASSANDRA`` names.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from common.guarantees import Guarantee, LogKind
from common.identifiers import QueueId, make_id
from storage_node.log.bounds import log_of
from storage_node.log.buckets import grid_bucket
from storage_node.store.cql import CassandraStore, open_cassandra_store
from storage_node.store.cql.listing import _place, _shard, _stamp
from storage_node.store.cql.prepared import Prepared
from storage_node.store.cql.statements import Kind
from storage_node.store.errors import StoreError, StoreFailedError
from storage_node.store.interface import Lane, QueueRow
from tests.bench.cassandra_report import Medians, keep
from tests.support.cassandra_store import settings_for
from tests.support.log_node import LogNode
from tests.support.store_calls import LOW, STRONG, message, now, queue_row

APPLICATION: Final = "notes"
FEW: Final = 1_000
WRITERS: Final = 128
PAGE: Final = 1_000
RATIO_MAX: Final = 1.2
BARE_INSERT: Final = (
    "INSERT INTO {}.queues (application, name, version, created, queue_id, row) VALUES (?, ?, ?, ?, ?, ?)"
)


class Keyspace:
    """A keyspace with a number of queues, each with one message."""

    def __init__(self, store: CassandraStore, name: str, queues: int) -> None:
        self.store = store
        self.name = name
        self.queues = queues
        self.node = LogNode(store, seed=random.getrandbits(60))

    async def fill(self) -> None:
        """Make the queues; nobody else is there, so their rows are written without conditions."""
        connection = self.store._session.connection
        prepared = connection._prepare(BARE_INSERT.format(self.name))
        prepared.consistency_level = connection._prepared["ping"].statement.consistency_level
        connection._prepared["bare_insert_queue"] = Prepared(prepared, Kind.WRITE)
        numbers = iter(range(self.queues))
        await asyncio.gather(*[self._fill(numbers) for _ in range(WRITERS)])

    async def _fill(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            while True:
                try:
                    await self._make(plain_row(number))
                    break
                except StoreError as error:
                    sys.stderr.write(f"once more: {error}\n")
                    await asyncio.sleep(1)
            if number and number % 50_000 == 0:
                sys.stderr.write(f"{number:,} queues\n")

    async def _make(self, row: QueueRow) -> None:
        write, text = self.store._session.write, msgspec.json.encode(row)
        place, log, moment = (row.application, row.name), log_of(row, 1, Lane.LIVE), now()
        await write("bare_insert_queue", *place, row.version, row.created_ticks, row.queue_id, text)
        await write("write_listing", _stamp(row), text, *_place(*place))
        await self.store.open_bucket(log, grid_bucket(moment), last=None, now_ticks=moment)
        await self.store.append_plain(log, grid_bucket(moment), [message(make_id(moment, LOW))], consistency=STRONG)

    async def draw(self) -> QueueRow:
        """Return a queue drawn at random, found by its name as a request would."""
        return await self.node.queues.find(APPLICATION, name_of(random.randrange(self.queues)), fresh=True)

    async def publish_and_read(self, medians: Medians, late: Counter[int]) -> None:
        """Publish to one queue and read another; what took longer than the driver waits is counted apart."""
        try:
            await self._publish_and_read(medians)
        except StoreError:
            late[self.queues] += 1

    async def _publish_and_read(self, medians: Medians) -> None:
        begun_s = time.perf_counter()
        answer = await self.node.publish(await self.draw(), b"x" * 100, partition=1)
        published_s = time.perf_counter() - begun_s
        begun_s = time.perf_counter()
        page = await self.node.read(await self.draw())
        read_s = time.perf_counter() - begun_s
        if answer.results[0].failure is not None:
            raise StoreFailedError(str(answer.results[0].failure))
        medians.note(f"publish {self.queues}", published_s)
        medians.note(f"read {self.queues}", read_s)
        if not page.messages:
            raise SystemExit(f"{self.name}: a queue without its message")

    async def page_through(self) -> dict[str, Any]:
        """Page through all names; tell how long pages take and how evenly the shards are filled."""
        seconds: list[float] = []
        shards: Counter[int] = Counter()
        offset: str | None = None
        while offset is not None or not seconds:
            begun_s = time.perf_counter()
            try:
                rows, offset = await self.store.list_queues(APPLICATION, offset=offset, limit=PAGE)
            except StoreError as error:
                sys.stderr.write(f"once more: {error}\n")
                continue
            seconds.append(time.perf_counter() - begun_s)
            shards.update(_shard(row.name) for row in rows)
        if shards.total() != self.queues:
            raise SystemExit(f"{shards.total()} queues were listed of {self.queues}")
        third = max(1, len(seconds) // 3)
        parts = {"start": seconds[:third], "middle": seconds[third : 2 * third], "end": seconds[2 * third :]}
        return {
            "pages": len(seconds),
            "ms": {name: round(1000 * sum(part) / max(1, len(part)), 1) for name, part in parts.items()},
            "rows_a_shard": [min(shards.values()), max(shards.values())],
        }


def name_of(number: int) -> str:
    """Return the name of a queue."""
    return f"queue-{number}"


def plain_row(number: int) -> QueueRow:
    """Return a row as a node would make it; its internal id follows from the name: filling may be repeated."""
    row = queue_row(APPLICATION, name_of(number), ttl_s=3 * 86_400)
    return msgspec.structs.replace(
        row,
        queue_id=QueueId(number.to_bytes(16, "big")),
        guarantee=Guarantee.AT_LEAST_ONCE,
        log=LogKind.PLAIN,
        partitions=1,
        partitions_at_creation=1,
        principles=None,
    )


def main() -> int:
    """Fill, measure, report; 1 if a ratio is above the target."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cassandra_queues")
    parser.add_argument("--queues", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=500)
    arguments = parser.parse_args()
    return asyncio.run(bench(arguments.queues, arguments.rounds))


async def bench(queues: int, rounds: int) -> int:
    """Run on two keyspaces of this run."""
    made = [await _keyspace(count) for count in (FEW, queues)]
    try:
        for keyspace in made:
            await keyspace.fill()
        medians, late = Medians(warm_up=rounds // 10), Counter[int]()
        for _ in range(rounds):
            for keyspace in made:
                await keyspace.publish_and_read(medians, late)
        listing = {each.queues: await each.page_through() for each in made}
        ratios = {what: medians.of(f"{what} {queues}") / medians.of(f"{what} {FEW}") for what in ("publish", "read")}
    finally:
        for keyspace in made:
            await _drop(keyspace)
    keep(
        "cassandra-queues",
        {"queues": queues, "ms": medians.ms, "late": dict(late), "ratios": ratios, "listing": listing},
    )
    return int(max(ratios.values()) > RATIO_MAX)


async def _keyspace(queues: int) -> Keyspace:
    name = f"queues_{queues}_{os.urandom(3).hex()}"
    return Keyspace(await open_cassandra_store(settings_for(1, keyspace=name)), name, queues)


async def _drop(keyspace: Keyspace) -> None:
    await keyspace.node.logs.close()
    await asyncio.to_thread(keyspace.store._session.connection.execute, f"DROP KEYSPACE {keyspace.name}")
    await keyspace.store.close()


if __name__ == "__main__":
    sys.exit(main())
