"""One suite, every store: a factory here is all that a store adds.

Tests are coroutines that take ``store``; each is run on the loop on which its store was opened.  They use ids and
names of their own, so a factory may hand out one store, or one keyspace, many times.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from storage_node.store.interface import Store
from storage_node.store.sqlite import open_sqlite_store
from tests.support.cassandra_store import open_test_store
from tests.support.stores import MemoryCluster, MemoryStore


async def make_sqlite(folder: Path) -> Store:
    return await open_sqlite_store(folder / "queuey.sqlite3")


async def make_cassandra(_: Path) -> Store:
    return await open_test_store(1)


async def make_cassandra_of_three(_: Path) -> Store:
    return await open_test_store(3)


async def make_memory(_: Path) -> Store:
    return MemoryStore()


async def make_memory_cluster(_: Path) -> Store:
    return MemoryCluster()


FACTORIES: dict[str, Callable[[Path], Awaitable[Store]]] = {
    "cassandra": make_cassandra,
    "cassandra_of_three": make_cassandra_of_three,
    "sqlite": make_sqlite,
    "memory": make_memory,
    "memory_cluster": make_memory_cluster,
}


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


REAL_NODES = (pytest.mark.cassandra, pytest.mark.timeout(400))
MARKS = {"cassandra": REAL_NODES, "cassandra_of_three": REAL_NODES}


@pytest.fixture(params=[pytest.param(name, marks=MARKS.get(name, ())) for name in sorted(FACTORIES)])
def store(request: pytest.FixtureRequest, runner: asyncio.Runner, tmp_path: Path) -> Iterator[Store]:
    async def opened() -> Store:
        return await FACTORIES[request.param](tmp_path)

    store = runner.run(opened())
    yield store
    runner.run(store.close())


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test on the loop of its store."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    runner = pyfuncitem.funcargs["runner"]
    assert isinstance(runner, asyncio.Runner)
    runner.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
