"""A node on the embedded store that starts again with its clock set back keeps what readers were promised."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from common.identifiers import TICKS_PER_MS, MessageId, last_id_at
from common.protocol.failures import Code
from common.protocol.operations import Published
from storage_node.log.floor import AHEAD_TICKS, TRY_AGAIN_S
from storage_node.store.errors import StoreFullError
from storage_node.store.sqlite import SqliteStore, open_sqlite_store
from tests.support.clock import ManualClock
from tests.support.log_node import LogNode, bodies

HOUR_MS = 3_600_000
AHEAD_MS = AHEAD_TICKS // TICKS_PER_MS


@asynccontextmanager
async def running(directory: Path, clock: ManualClock) -> AsyncIterator[LogNode]:
    """Run one life of the node; it ends without a word to its successor but what the store holds."""
    store = await open_sqlite_store(directory / "queuey.sqlite3")
    node = LogNode(store, clock=clock)
    try:
        yield node
    finally:
        await node.logs.close()
        await store.close()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine to its end."""

    async def main() -> None:
        await scenario()

    asyncio.run(main())


def codes(published: Published) -> list[Code]:
    """Return why items were not stored."""
    return [result.failure.code for result in published.results if result.failure is not None]


def test_nothing_appears_below_what_a_reader_was_told_is_complete(tmp_path: Path) -> None:
    """The clock is an hour back after a restart: a publish is refused until it has come back, then stored above."""
    clock = ManualClock()

    async def scenario() -> None:
        async with running(tmp_path, clock) as node:
            queue = await node.queue()
            await node.publish(queue, b"long ago")
            clock.advance(ms=2 * HOUR_MS)
            complete = (await node.read(queue)).complete_until[1]
        clock.step(ms=-HOUR_MS)
        async with running(tmp_path, clock) as node:
            node.logs.start()
            assert codes(await node.publish(queue, b"refused")) == [Code.CLOCK_UNSURE]
            assert (await node.read(queue)).complete_until[1] >= complete
            clock.advance(ms=HOUR_MS)
            published = await node.publish(queue, b"stored")
            assert published.results[0].message_id > complete
            assert bodies(await node.read(queue)) == [b"long ago", b"stored"]

    run(scenario)


def test_what_was_stored_before_stays_readable(tmp_path: Path) -> None:
    """Messages that are later than the clock that was set back are listed as before."""
    clock = ManualClock()

    async def scenario() -> None:
        async with running(tmp_path, clock) as node:
            queue = await node.queue()
            await node.publish(queue, b"stored")
            await node.read(queue)
        clock.step(ms=-HOUR_MS)
        async with running(tmp_path, clock) as node:
            assert bodies(await node.read(queue)) == [b"stored"]

    run(scenario)


def test_restarts_in_quick_succession_refuse_nothing(tmp_path: Path) -> None:
    """The floor is ahead of the clock by less than an id may be, however often a node starts without time passing."""
    clock = ManualClock()

    async def scenario() -> None:
        complete = MessageId(bytes(16))
        for _ in range(5):
            async with running(tmp_path, clock) as node:
                queue = await node.queue()
                published = await node.publish(queue, b"body")
                assert published.results[0].message_id > complete
                complete = MessageId((await node.read(queue)).complete_until[1])
                assert complete <= last_id_at(clock.now_ticks() + AHEAD_TICKS + 10)

    run(scenario)


def test_the_floor_is_written_a_few_times_a_second_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads share a write, publishes cost none, and a node that nobody reads from writes nothing."""
    clock = ManualClock()
    written: list[int] = []
    raise_floor = SqliteStore.raise_floor

    async def counted(store: SqliteStore, ticks: int) -> None:
        written.append(ticks)
        await raise_floor(store, ticks)

    monkeypatch.setattr(SqliteStore, "raise_floor", counted)

    async def scenario() -> None:
        async with running(tmp_path, clock) as node:
            queue = await node.queue()
            for _ in range(100):
                await node.publish(queue, b"body")
            assert written == []
            for _ in range(100):
                clock.advance(ms=10)
                await asyncio.gather(node.read(queue), node.read(queue), node.read(queue))
            assert 1_000 // AHEAD_MS <= len(written) <= 2 * 1_000 // AHEAD_MS + 2
            clock.advance(ms=HOUR_MS)
            await asyncio.sleep(0)
            assert len(written) <= 2 * 1_000 // AHEAD_MS + 2

    run(scenario)


def test_reads_go_on_where_the_floor_cannot_be_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: messages are read, ``complete_until`` stays where it is, and follows the clock again later."""
    clock = ManualClock()
    raise_floor = SqliteStore.raise_floor

    async def full(store: SqliteStore, ticks: int) -> None:
        raise StoreFullError("no space is left for the store")

    async def scenario() -> None:
        async with running(tmp_path, clock) as node:
            queue = await node.queue()
            await node.publish(queue, b"body")
            before = (await node.read(queue)).complete_until[1]
            monkeypatch.setattr(SqliteStore, "raise_floor", full)
            clock.advance(ms=HOUR_MS)
            page = await node.read(queue)
            assert bodies(page) == [b"body"]
            assert before <= page.complete_until[1] <= last_id_at(clock.now_ticks() - HOUR_MS * TICKS_PER_MS // 2)
            monkeypatch.setattr(SqliteStore, "raise_floor", raise_floor)
            clock.advance(ms=round(TRY_AGAIN_S * 1000))
            assert (await node.read(queue)).complete_until[1] == last_id_at(clock.now_ticks())

    run(scenario)
