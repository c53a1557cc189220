"""Many messages deleted by id: who reads from before them gets over them in steps that a busy server manages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from common.identifiers import HIGHEST, LOWEST, MessageId, make_id
from storage_node.store.cql import CassandraStore, open_cassandra_store, steps
from storage_node.store.errors import StoreFailedError
from storage_node.store.interface import LogAddress, StoredMessage
from tests.support.cassandra_store import settings_for
from tests.support.store_calls import LOW, STRONG, fresh_log, message, now

pytestmark = [pytest.mark.cassandra, pytest.mark.timeout(300)]

DELETED = 2_000
LEFT = 30
MANAGED = 400
"""How many deletions a read may step over before the server of these tests gives up."""


class BusyServer:
    """The store's session; it fails a read that meets too many deletions, as a server does after two seconds."""

    def __init__(self, store: CassandraStore, deleted: list[MessageId]) -> None:
        self._session = store._messages._steps._session
        self._deleted = deleted
        self.refused = 0
        self.sent = 0

    async def read(self, name: str, *values: Any, **level: Any) -> list[tuple[Any, ...]]:
        if name.startswith("list_") and not name.startswith("list_posts"):
            low, high = values[4:6]
            self.sent += 1
            if sum([low <= each <= high for each in self._deleted]) > MANAGED:
                self.refused += 1
                raise StoreFailedError("time-out")
        return await self._session.read(name, *values, **level)


@asynccontextmanager
async def a_bucket_with_deletions(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[tuple[CassandraStore, LogAddress, int, list[MessageId], BusyServer]]:
    """Many deletions, then some messages; a post beside about one of 16, and 64 to a step."""
    monkeypatch.setattr(steps, "DELETIONS_PER_POST", 16)
    monkeypatch.setattr(steps, "POSTS_PER_STEP", 4)
    store = await open_cassandra_store(settings_for(1))
    try:
        log, bucket = fresh_log(), now()
        ids = [make_id(bucket + number, LOW) for number in range(DELETED + LEFT)]
        await store.open_bucket(log, bucket, last=None, now_ticks=bucket)
        await store.append_plain(log, bucket, [message(each) for each in ids], consistency=STRONG)
        await store.delete_messages(log, bucket, ids[:DELETED], written_ticks=now(), now_ticks=now())
        server = BusyServer(store, ids[:DELETED])
        monkeypatch.setattr(store._messages._steps, "_session", server)
        yield store, log, bucket, ids[DELETED:], server
    finally:
        await store.close()


def test_a_reader_from_the_beginning_gets_over_deletions_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up, down, without bodies and counting: the same messages; only the first read fails before."""

    async def scenario() -> None:
        async with a_bucket_with_deletions(monkeypatch) as (store, log, bucket, left, server):

            async def ids(*, descending: bool = False, bodies: bool = True, limit: int = 100) -> list[MessageId]:
                call: Callable[..., Awaitable[list[StoredMessage]]] = store.list_messages
                found = await call(
                    log,
                    bucket,
                    low=LOWEST,
                    high=HIGHEST,
                    limit=limit,
                    descending=descending,
                    now_ticks=now(),
                    bodies=bodies,
                )
                return [each.message_id for each in found]

            assert await ids() == left
            assert await ids(descending=True) == left[::-1]
            assert await ids(bodies=False, limit=7) == left[:7]
            assert await ids(descending=True, limit=7) == left[:-8:-1]
            assert await store.count_messages(log, bucket, low=LOWEST, limit=1_000, now_ticks=now()) == LEFT
            assert server.refused == 1

    asyncio.run(scenario())


def test_reading_behind_deletions_stays_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket that is known to be slow from its beginning is as quick as any behind it."""

    async def scenario() -> None:
        async with a_bucket_with_deletions(monkeypatch) as (store, log, bucket, left, server):
            for low in (LOWEST, left[0]):
                before = server.sent
                found = await store.list_messages(log, bucket, low=low, high=HIGHEST, limit=100, now_ticks=now())
                assert [each.message_id for each in found] == left
            assert server.sent == before + 1

    asyncio.run(scenario())


def test_what_fails_for_another_reason_is_not_read_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without deletions there is nothing to step over: the failure is told."""

    async def scenario() -> None:
        async with a_bucket_with_deletions(monkeypatch) as (store, _, bucket, left, server):
            server._deleted.extend([*left] * MANAGED)
            with pytest.raises(StoreFailedError):
                await store.list_messages(fresh_log(), bucket, low=left[0], high=HIGHEST, limit=100, now_ticks=now())

    asyncio.run(scenario())
