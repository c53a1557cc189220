"""Opening the store: connect, bring the schema up to date where the configuration allows, prepare every statement."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from common.clock import SYSTEM_CLOCK, Clock
from common.settings import StoreSettings
from storage_node.store.cql import schema
from storage_node.store.cql.driver import Connection, Place
from storage_node.store.cql.session import CqlSession
from storage_node.store.cql.statements import load_statements
from storage_node.store.cql.store import CassandraStore
from storage_node.store.errors import StoreFailedError

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


async def open_cassandra_store(
    settings: StoreSettings, *, clock: Clock = SYSTEM_CLOCK, is_home: Callable[[str], bool] = lambda _: True
) -> CassandraStore:
    """Open the store on the running loop, in the process that uses it.

    ``is_home`` tells of an application whether this node's data centre serves it.

    Raises:
        StoreFailedError: not reachable, not allowed in, no replication given where it is needed, or a schema that is
            missing, newer, or refused, or made for another kind of quorum.
    """
    connection = await asyncio.to_thread(_open, settings)
    return CassandraStore(CqlSession(connection, asyncio.get_running_loop()), clock, is_home=is_home)


def apply_schema(settings: StoreSettings) -> int:
    """Bring the schema up to date, whatever the configuration says about doing so at start; return the steps applied.

    Raises:
        StoreFailedError: as ``open_cassandra_store``.
    """
    connection = _connect(settings)
    try:
        return schema.migrate(connection, keyspace=settings.keyspace, replication=_replication(settings, connection))
    finally:
        connection.close()


def _open(settings: StoreSettings) -> Connection:
    connection = _connect(settings)
    try:
        if settings.migrate_at_start:
            schema.migrate(connection, keyspace=settings.keyspace, replication=_replication(settings, connection))
        else:
            schema.check(connection, keyspace=settings.keyspace)
        schema.fix_quorum(connection, keyspace=settings.keyspace, quorum=settings.quorum)
        connection.settle_schema()
        connection.prepare(load_statements(), settings.keyspace)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(settings: StoreSettings) -> Connection:
    password = Path(settings.password_file).read_text().strip() if settings.password_file else ""
    return Connection(
        Place(
            settings.hosts,
            settings.port,
            settings.local_dc,
            settings.username,
            password,
            settings.tls_ca_file,
            settings.quorum,
        )
    )


def _replication(settings: StoreSettings, connection: Connection) -> Mapping[str, int]:
    if settings.replication is not None:
        return settings.replication
    if connection.hosts_known > 1:
        raise StoreFailedError("[store] replication is required: the cluster has more than one node")
    _log.info("store_replication", replication={settings.local_dc: 1}, reason="the cluster has one node")
    return {settings.local_dc: 1}
