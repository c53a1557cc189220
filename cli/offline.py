"""The store itself, opened by a command while no storage node serves it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from common.settings import StoreSettings
from storage_node.store.errors import StoreError, StoreFailedError
from storage_node.store.interface import Store
from storage_node.store.sqlite import open_sqlite_store

T = TypeVar("T")


class OfflineError(Exception):
    """The command can't do what it says; the text says why."""


@asynccontextmanager
async def opened_store(settings: StoreSettings) -> AsyncIterator[Store]:
    """Open the configured store for this command alone.

    Raises:
        StoreError: it can't be opened; a SQLite file that a node has open can't.
        OfflineError: storage nodes are in the register.
    """
    store = await _open(settings)
    try:
        await _refuse_live_nodes(store)
        yield store
    finally:
        await store.close()


def run_offline(work: Callable[[], Awaitable[int]]) -> int:
    """Do it on a loop of its own; 1 with a line on standard error where it fails."""

    async def run() -> int:
        return await work()

    try:
        return asyncio.run(run())
    except (OfflineError, StoreError, OSError) as error:
        print(f"queuey: {error}", file=sys.stderr)
        return 1


async def _open(settings: StoreSettings) -> Store:
    if settings.backend == "cassandra":
        from storage_node.store.cql import open_cassandra_store

        return await open_cassandra_store(settings)
    path = Path(settings.path)
    if not await asyncio.to_thread(path.exists):
        raise StoreFailedError(f"{path} is not there; `queuey migrate` makes it")
    return await open_sqlite_store(path)


async def _refuse_live_nodes(store: Store) -> None:
    members = await store.list_members()
    if members:
        addresses = ", ".join(member.address for member in members)
        raise OfflineError(f"stop the storage nodes first: {addresses} (one that was killed is forgotten after 10 s)")
