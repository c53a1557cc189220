"""Rates of the embedded store alone, beside raw SQLite on the same disk: ``python -m tests.bench.store_sqlite``.

Each figure is printed as one JSON line.  ``--queues 1000000`` takes some minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

from common.identifiers import HIGHEST, LOWEST, TICKS_PER_SECOND, MessageId, QueueId, make_id
from storage_node.store.interface import Applied, Lane, LogAddress, Store, StoredMessage
from storage_node.store.sqlite import open_sqlite_store
from tests.support.store_calls import LOW, STRONG, now, queue_row

BODY_BYTES = 200
BATCH_ROWS = 1_000
DAY_TICKS = 86_400 * TICKS_PER_SECOND


class Stamp:
    """Strictly increasing ids."""

    def __init__(self) -> None:
        self._ticks = now()

    def next(self) -> MessageId:
        self._ticks = max(now(), self._ticks + 1)
        return make_id(self._ticks, LOW)


STAMP = Stamp()
EXPIRES_TICKS = now() + 3 * DAY_TICKS
BODY = random.Random(1).randbytes(BODY_BYTES)


def new_message() -> StoredMessage:
    return StoredMessage(STAMP.next(), BODY, None, {}, EXPIRES_TICKS)


def report(name: str, count: int, seconds: float, **more: object) -> None:
    print(json.dumps({"what": name, "per_second": round(count / seconds), "seconds": round(seconds, 2), **more}))


def raw_sqlite(folder: Path, rows_per_commit: int, commits: int) -> None:
    """What SQLite itself does with a clustered table and nothing else."""
    connection = sqlite3.connect(folder / "raw.sqlite3", isolation_level=None)
    connection.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;"
        "CREATE TABLE IF NOT EXISTS message (log INTEGER, id BLOB, expires INTEGER, written INTEGER,"
        "content_type TEXT, attributes BLOB, body BLOB, PRIMARY KEY (log, id)) WITHOUT ROWID"
    )
    batches = [
        [(1, STAMP.next(), EXPIRES_TICKS, 0, None, None, BODY) for _ in range(rows_per_commit)]
        for _ in range(commits)
    ]
    began = time.perf_counter()
    for batch in batches:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?)", batch)
        connection.execute("COMMIT")
    seconds = time.perf_counter() - began
    report(f"raw sqlite, {rows_per_commit} rows a commit", rows_per_commit * commits, seconds)
    connection.close()


async def timed(name: str, count: int, work: Coroutine[None, None, object], **more: object) -> None:
    began = time.perf_counter()
    await work
    report(name, count, time.perf_counter() - began, **more)


async def many(callers: int, count: int, call: Callable[[int], Coroutine[None, None, object]]) -> None:
    """Make ``count`` calls, ``callers`` at a time."""
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            await call(number)

    await asyncio.gather(*[caller() for _ in range(callers)])


async def one_log(store: Store, commits: int) -> None:
    log = LogAddress(QueueId(bytes(16)), 1, Lane.LIVE, 1)

    batches = [[new_message() for _ in range(BATCH_ROWS)] for _ in range(2 * commits)]
    batches.reverse()

    async def batch(_: int) -> None:
        assert await store.append_fenced(log, 0, batches.pop(), consistency=STRONG) == Applied()

    async def single(number: int) -> None:
        own = log._replace(partition=number % 1000 + 2)
        await store.append_fenced(own, 0, [new_message()], consistency=STRONG)

    await timed(f"store, {BATCH_ROWS} rows an append", BATCH_ROWS * commits, many(1, commits, batch))
    await timed(f"store, {BATCH_ROWS} rows an append, 2 callers", BATCH_ROWS * commits, many(2, commits, batch))
    await timed("store, single appends, 1 caller", 2_000, many(1, 2_000, single))
    await timed("store, single appends, 32 callers", 40_000, many(32, 40_000, single))
    await timed("store, single appends, 256 callers", 80_000, many(256, 80_000, single))

    async def read(_: int) -> None:
        found = await store.list_messages(log, 0, low=LOWEST, high=HIGHEST, limit=100, now_ticks=now())
        assert len(found) == 100

    await timed("store, reads of 100 messages, 8 callers", 2_000, many(8, 2_000, read))


async def many_queues(folder: Path, queues: int, publishes: int) -> None:
    store = await open_sqlite_store(folder / f"queues-{queues}.sqlite3")
    rng = random.Random(2)
    logs: list[LogAddress] = []

    async def create(number: int) -> None:
        row = queue_row("bench", f"queue-{rng.randbytes(6).hex()}-{number}")
        await store.insert_queue(row)
        log = LogAddress(row.queue_id, 1, Lane.LIVE, 1)
        logs.append(log)
        await store.append_fenced(log, 0, [new_message()], consistency=STRONG)

    async def publish(_: int) -> None:
        answer: object = None
        while answer != Applied():
            answer = await store.append_fenced(rng.choice(logs), 0, [new_message()], consistency=STRONG)

    await timed("queues created with one message", queues, many(64, queues, create), queues=queues)
    await timed("20,000 more of them", 20_000, many(64, 20_000, create), queues=queues)
    del logs[queues:]
    for callers in (1, 8, 32, 256):
        count = publishes // 10 if callers < 32 else publishes
        await timed(
            f"publishes to a random queue, {callers} callers", count, many(callers, count, publish), queues=queues
        )
    await store.close()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--queues", type=int, default=100_000)
    parser.add_argument("--commits", type=int, default=100)
    parser.add_argument("--publishes", type=int, default=30_000)
    parser.add_argument("--only-queues", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd() / "var") as name:
        folder = Path(name)
        if not arguments.only_queues:
            raw_sqlite(folder, BATCH_ROWS, arguments.commits)
            raw_sqlite(folder, 1, 2_000)
            raw_sqlite(folder, 32, 1_000)
            store = await open_sqlite_store(folder / "store.sqlite3")
            await one_log(store, arguments.commits)
            await store.close()
        await many_queues(folder, 1_000, arguments.publishes)
        await many_queues(folder, arguments.queues, arguments.publishes)


if __name__ == "__main__":
    asyncio.run(main())
