"""One TOML file, validated once: the frozen settings of every process.

The file is named by ``QUEUEY_CONFIG`` (default ``var/queuey.toml``).  All problems are reported together.
"""

from __future__ import annotations

import msgspec

from common.guarantees import Guarantee, LogKind


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[api]``: the front ends."""

    bind: str = "127.0.0.1:5000"
    """Address that the front end listens on, ``host:port`` or ``unix:path``."""
    workers: int = 2
    """Front-end processes."""
    nodes: tuple[str, ...] = ()
    """ZeroMQ endpoints of storage nodes to ask for the members; empty means ``[storage_node] bind``."""


class StorageNodeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[storage_node]``: the storage nodes."""

    bind: str = "tcp://127.0.0.1:5570"
    """ZeroMQ endpoint that the node listens on; process n of several adds n to the port."""
    processes: int = 1
    """Storage-node processes of this machine."""


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[store]``: where messages are kept."""

    backend: str = "sqlite"
    """``sqlite`` or ``cassandra``."""
    path: str = "queuey.sqlite3"
    """SQLite: the file, beside the configuration file if relative."""
    hosts: tuple[str, ...] = ("127.0.0.1",)
    """Cassandra: hosts to begin with."""
    port: int = 9042
    """Cassandra: the port of the native protocol."""
    keyspace: str = "queuey"
    """Cassandra: the keyspace."""
    local_dc: str = "dc1"
    """Cassandra: the data centre of this node."""
    replication: dict[str, int] | None = None
    """Cassandra: data centre -> replicas.  May be left out where the cluster has one node."""
    migrate_at_start: bool = True
    """Whether a node brings the schema up to date when it starts."""
    username: str = ""
    """Cassandra: who logs in."""
    password_file: str = ""
    """Cassandra: the file that holds the password."""
    tls_ca_file: str = ""
    """Cassandra: the authority that signed the servers' certificates; empty means no TLS."""


class ApplicationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[applications.NAME]``: one tenant."""

    key_sha256: tuple[str, ...] = ()
    """Lower-case hex SHA-256 digests of the application's keys, all valid at once."""
    guarantee: Guarantee = Guarantee.AT_LEAST_ONCE
    """What new queues promise."""
    log: LogKind | None = None
    """``fenced`` makes every new queue's log fenced; left out, the guarantee decides."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    api: ApiSettings = ApiSettings()
    storage_node: StorageNodeSettings = StorageNodeSettings()
    store: StoreSettings = StoreSettings()
    applications: dict[str, ApplicationSettings] = {}
