"""Stores on the test session's own Cassandra nodes; all share one keyspace of the cluster."""

from __future__ import annotations

import os

from common.settings import StoreSettings
from storage_node.store.cql import CassandraStore, open_cassandra_store
from tests.support.cassandra import shared_cluster

RUNNING_HOST = "QUEUEY_TEST_CASSANDRA"
"""The address of a node that a developer keeps running: used instead of a new cluster of one."""


def settings_for(nodes: int, *, keyspace: str = "contracts") -> StoreSettings:
    """Settings for a store on the session's cluster of 1 or 3 nodes, which is started if it does not run."""
    running = os.environ.get(RUNNING_HOST)
    if running and nodes == 1:
        hosts: tuple[str, ...] = (running,)
    else:
        hosts = shared_cluster(nodes).layout.addresses
    return StoreSettings(backend="cassandra", hosts=hosts, keyspace=keyspace, replication={"dc1": nodes})


def store_lines(nodes: int, *, keyspace: str) -> str:
    """The lines of ``[store]`` for a service on the session's cluster."""
    settings = settings_for(nodes, keyspace=keyspace)
    hosts = ", ".join(f'"{host}"' for host in settings.hosts)
    return (
        f'backend = "cassandra"\nhosts = [{hosts}]\nkeyspace = "{keyspace}"\nlocal_dc = "{settings.local_dc}"\n'
        f"replication = {{ {settings.local_dc} = {nodes} }}"
    )


async def open_test_store(nodes: int) -> CassandraStore:
    """Open a store on the session's cluster."""
    return await open_cassandra_store(settings_for(nodes))
