"""Stored bytes of an application: what nodes on one store tell each other, and what a node that starts finds."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

from common.clock import SYSTEM_CLOCK, ticks_to_unix_ms
from common.protocol.operations import NewMessage, QueueSettings
from common.quota_settings import QuotaSettings
from common.settings import ApplicationSettings
from storage_node.store.interface import Store
from storage_node.store.shares import KeepsShares, Share
from storage_node.stored_bytes import MeasuresBytes, StoredBytes, stored_bytes_of
from tests.support.log_node import LogNode
from tests.support.store_calls import fresh_name, now

APPLICATION = "notes"
LIMITED = {APPLICATION: ApplicationSettings(quotas=QuotaSettings(stored_bytes=1 << 40))}


def now_s() -> int:
    return ticks_to_unix_ms(now()) // 1_000


async def test_a_share_is_listed_as_last_written_until_its_time(store: Store) -> None:
    """Each node's and each time's by itself; what is written again replaces, and applications are apart."""
    assert isinstance(store, KeepsShares) == store.capabilities.several_nodes
    if not isinstance(store, KeepsShares):
        return
    application, ends_s = fresh_name("app"), now_s() + 3_600
    first, other, later = Share("a", ends_s, 10), Share("b", ends_s, 7), Share("a", ends_s + 5, 1 << 45)
    await store.write_shares(application, [first, later])
    await store.write_shares(application, [other])
    await store.write_shares(application, [first._replace(size_bytes=25)])
    rows = sorted(await store.list_shares(application, now_ticks=now()))
    assert rows == sorted([first._replace(size_bytes=25), other, later])
    at_the_end = now() + (ends_s - now_s() + 1) * 10_000_000
    assert await store.list_shares(application, now_ticks=at_the_end) == [later]
    assert await store.list_shares(fresh_name("app"), now_ticks=now()) == []


@contextlib.asynccontextmanager
async def counting(store: Store) -> AsyncIterator[StoredBytes | None]:
    """What a node that starts now counts, with its background tasks."""
    counted = stored_bytes_of(store, LIMITED, clock=SYSTEM_CLOCK, member_id=os.urandom(4).hex())
    tasks = counted.start() if counted else []
    try:
        yield counted
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if counted:
            await counted.close()


async def assert_found(store: Store, size_bytes: int) -> None:
    """Nodes that start now come to know this sum."""
    deadline_s = SYSTEM_CLOCK.monotonic_s() + 20
    known = -1
    while known != size_bytes:
        assert SYSTEM_CLOCK.monotonic_s() < deadline_s, f"{known} is not {size_bytes}"
        async with counting(store) as counted:
            assert counted is not None
            await asyncio.sleep(0.1)
            known = await counted.used(APPLICATION)


async def test_what_is_stored_counts_for_every_node_until_it_expires(store: Store) -> None:
    """Who stored it knows at once, who starts later finds it; what a key names already adds nothing."""
    async with counting(store) as counted:
        if counted is None:
            assert not isinstance(store, KeepsShares | MeasuresBytes)
            return
        before = await counted.used(APPLICATION)
        node = LogNode(store, on_stored=counted.note)
        queue = await node.queue(fresh_name("stored"), settings=QueueSettings(ttl_s=3_600))
        await node.publish(queue, b"x" * 100, NewMessage(body=b"y" * 30, ttl_s=1), partition=1)
        for _ in range(2):
            await node.publish(queue, NewMessage(body=b"z" * 7, idempotency_key="once", ttl_s=3_600), partition=1)
        assert await counted.used(APPLICATION) == before + 137
        await node.logs.close()
    await assert_found(store, before + 107)
