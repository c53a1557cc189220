"""Opening the Cassandra store: many starters at once, the schema, who is refused, and the way to the replicas."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
import pytest

from common.identifiers import LOWEST, make_id
from common.settings import StoreSettings
from storage_node.store.cql import CassandraStore, open_cassandra_store
from storage_node.store.cql.opening import _connect, apply_schema
from storage_node.store.cql.schema import _make_keyspace, load_steps
from storage_node.store.errors import StoreFailedError
from storage_node.store.interface import Applied
from tests.support.cassandra_operations import counted
from tests.support.cassandra_store import settings_for
from tests.support.store_calls import LOW, STRONG, fresh_log, list_all, message, now

pytestmark = [pytest.mark.cassandra, pytest.mark.timeout(400)]


def fresh_keyspace() -> str:
    return f"k{os.urandom(6).hex()}"


def drop(store: CassandraStore, keyspace: str) -> None:
    store._session.connection.execute(f"DROP KEYSPACE {keyspace}")


class Started(NamedTuple):
    """What ten nodes found on a new cluster that all of them started on."""

    settings: StoreSettings
    steps: list[int]
    tables: list[str]


@pytest.fixture(scope="module")
def started_at_once() -> Iterator[Started]:
    """A keyspace that ten nodes made together; every one of them opened and answered."""

    async def start(settings: StoreSettings) -> Started:
        stores = await asyncio.gather(*[open_cassandra_store(settings) for _ in range(10)])
        execute = stores[0]._session.connection.execute
        steps = execute(f"SELECT number FROM {settings.keyspace}.schema_steps")
        tables = execute("SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s", (settings.keyspace,))
        for store in stores:
            await store.ping()
            assert await store.read_queue("app", "none") is None
        await asyncio.gather(*[store.close() for store in stores])
        return Started(settings, sorted(number for (number,) in steps), sorted(name for (name,) in tables))

    async def end(settings: StoreSettings) -> None:
        store = await open_cassandra_store(settings)
        drop(store, settings.keyspace)
        await store.close()

    started = asyncio.run(start(settings_for(3, keyspace=fresh_keyspace())))
    yield started
    asyncio.run(end(started.settings))


def test_ten_nodes_may_start_at_once_on_a_new_cluster(started_at_once: Started) -> None:
    """Every one of them opens; each step was applied once and every table exists once."""
    made = [text.split()[5] for step in load_steps() for text in step.statements]
    assert started_at_once.steps == [step.number for step in load_steps()]
    assert started_at_once.tables == sorted([*made, "schema_lock", "schema_steps"])


def test_every_request_goes_straight_to_a_replica(started_at_once: Started) -> None:
    """Three hosts, one copy: who coordinates an append, a conditional one or a read is who has the partition."""

    async def scenario(settings: StoreSettings) -> None:
        async with keeping_one_copy(settings) as store:
            with counted(store) as operations:
                for _ in range(10):
                    log, bucket = fresh_log(), now()
                    await store.open_bucket(log, bucket, last=LOWEST, now_ticks=bucket)
                    rows = [message(make_id(bucket + number, LOW)) for number in range(2)]
                    await store.append_plain(log, bucket, rows[:1], consistency=STRONG)
                    assert await store.append_fenced(log, bucket, rows[1:], consistency=STRONG) == Applied()
                    assert len(await list_all(store, log, bucket)) == 2
                    await store.list_buckets(log)
            metadata = store._session.connection._cluster.metadata
            for request in operations.requests:
                replicas = metadata.get_replicas(settings.keyspace, request.query.routing_key)
                assert [host.endpoint for host in replicas] == [request.coordinator_host.endpoint]
            assert len(operations.requests) >= 50

    asyncio.run(scenario(started_at_once.settings))


@asynccontextmanager
async def keeping_one_copy(settings: StoreSettings) -> AsyncIterator[CassandraStore]:
    """A store on this keyspace, changed to keep one copy of everything."""
    store = await open_cassandra_store(settings)
    one = "{'class': 'NetworkTopologyStrategy', 'dc1': 1}"
    store._session.connection.execute(f"ALTER KEYSPACE {settings.keyspace} WITH replication = {one}")
    await store.close()
    store = await open_cassandra_store(settings)
    try:
        yield store
    finally:
        await store.close()


def test_the_schema_is_applied_by_command_where_starting_may_not() -> None:
    """Without permission a start refuses an empty cluster; after the command it opens; again it does nothing."""

    async def scenario() -> None:
        settings = msgspec.structs.replace(settings_for(1, keyspace=fresh_keyspace()), migrate_at_start=False)
        with pytest.raises(StoreFailedError, match="has no schema"):
            await open_cassandra_store(settings)
        assert await asyncio.to_thread(apply_schema, settings) == len(load_steps())
        assert await asyncio.to_thread(apply_schema, settings) == 0
        store = await open_cassandra_store(settings)
        (replication,) = store._session.connection.execute(
            "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s", (settings.keyspace,)
        )
        assert dict(replication[0]) == {"class": "org.apache.cassandra.locator.NetworkTopologyStrategy", "dc1": "1"}
        drop(store, settings.keyspace)
        await store.close()

    asyncio.run(scenario())


def test_a_keyspace_may_be_one_step_ahead_and_no_more() -> None:
    """A node of the version before may start during an upgrade; older ones write what nobody reads any more."""
    settings = settings_for(1, keyspace=fresh_keyspace())
    connection = _connect(settings)
    _make_keyspace(connection, settings.keyspace, {"dc1": 1})

    def take_step(number: int) -> None:
        connection.execute(
            f"INSERT INTO {settings.keyspace}.schema_steps (part, number, name) VALUES ('all', {number}, 'future')"
        )

    async def open_and_close() -> None:
        await (await open_cassandra_store(settings)).close()

    asyncio.run(open_and_close())
    take_step(len(load_steps()) + 1)
    asyncio.run(open_and_close())
    take_step(len(load_steps()) + 2)
    with pytest.raises(StoreFailedError, match="newer version"):
        asyncio.run(open_and_close())
    connection.execute(f"DROP KEYSPACE {settings.keyspace}")
    connection.close()


def test_replication_is_not_guessed_for_a_cluster_of_several_nodes() -> None:
    """One copy on three nodes would be the silent choice; it is refused instead."""
    settings = msgspec.structs.replace(settings_for(3, keyspace=fresh_keyspace()), replication=None)
    with pytest.raises(StoreFailedError, match="replication is required"):
        asyncio.run(open_cassandra_store(settings))


def test_nobody_there_is_said_plainly() -> None:
    """A cluster that can't be reached is one named error, and nothing is left running."""
    settings = msgspec.structs.replace(settings_for(1), port=1)
    with pytest.raises(StoreFailedError, match="NoHostAvailable"):
        asyncio.run(open_cassandra_store(settings))
