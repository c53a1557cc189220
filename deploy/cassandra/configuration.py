"""The files a node reads at start, written anew each time from the cluster's layout."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.cassandra.layout import Layout

KEY_STORE_PASSWORD = "development"
"""Guards nothing: the file itself is as readable as this line."""

_LOGBACK = """\
<configuration>
  <shutdownHook class="ch.qos.logback.core.hook.DefaultShutdownHook"/>
  <appender name="FILE" class="ch.qos.logback.core.rolling.RollingFileAppender">
    <file>{log_file}</file>
    <rollingPolicy class="ch.qos.logback.core.rolling.FixedWindowRollingPolicy">
      <fileNamePattern>{log_file}.%i</fileNamePattern>
      <minIndex>1</minIndex>
      <maxIndex>2</maxIndex>
    </rollingPolicy>
    <triggeringPolicy class="ch.qos.logback.core.rolling.SizeBasedTriggeringPolicy">
      <maxFileSize>10MB</maxFileSize>
    </triggeringPolicy>
    <encoder>
      <pattern>%-5level [%thread] %date{{ISO8601}} %F:%L - %msg%n</pattern>
    </encoder>
  </appender>
  <root level="INFO">
    <appender-ref ref="FILE"/>
  </root>
</configuration>
"""

_LOGBACK_TOOLS = """\
<configuration>
  <appender name="STDERR" class="ch.qos.logback.core.ConsoleAppender">
    <target>System.err</target>
    <encoder>
      <pattern>%-5level %msg%n</pattern>
    </encoder>
  </appender>
  <root level="WARN">
    <appender-ref ref="STDERR"/>
  </root>
</configuration>
"""


def write_configuration(layout: Layout, *, number: int, new_cluster: bool) -> Path:
    """Write node `number`'s files and return the folder that holds them.

    The nodes of a cluster that is new as a whole skip bootstrap: there are no data to stream to them yet.
    """
    conf_dir = layout.node_dir(number) / "conf"
    (conf_dir / "triggers").mkdir(parents=True, exist_ok=True)
    settings = _settings(layout, number=number, new_cluster=new_cluster)
    lines = [f"{name}: {json.dumps(value)}" for name, value in settings.items()]
    (conf_dir / "cassandra.yaml").write_text("\n".join(lines) + "\n")
    (conf_dir / "cassandra-rackdc.properties").write_text(f"dc={layout.data_centre(number)}\nrack=rack1\n")
    (conf_dir / "logback.xml").write_text(_LOGBACK.format(log_file=layout.node_dir(number) / "system.log"))
    (conf_dir / "logback-tools.xml").write_text(_LOGBACK_TOOLS)
    return conf_dir


def _settings(layout: Layout, *, number: int, new_cluster: bool) -> dict[str, object]:
    return {
        **_identity(layout, number=number),
        **_folders(layout.node_dir(number)),
        **_behaviour(),
        **_small_machine(layout),
        **(_security(layout) if layout.secure else {}),
        "auto_bootstrap": not new_cluster,
    }


def _identity(layout: Layout, *, number: int) -> dict[str, object]:
    address = layout.addresses[number - 1]
    seed_provider = {
        "class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
        "parameters": [{"seeds": f"{layout.addresses[0]}:{layout.storage_port}"}],
    }
    return {
        "cluster_name": "queuey-development",
        "num_tokens": 16,
        "allocate_tokens_for_local_replication_factor": 3,
        "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
        "endpoint_snitch": "GossipingPropertyFileSnitch",
        "seed_provider": [seed_provider],
        "listen_address": address,
        "rpc_address": address,
        "broadcast_rpc_address": layout.client_addresses[number - 1],
        "storage_port": layout.storage_port,
        "native_transport_port": layout.cql_port,
    }


def _folders(node_dir: Path) -> dict[str, object]:
    return {
        "data_file_directories": [str(node_dir / "data")],
        "commitlog_directory": str(node_dir / "commitlog"),
        "saved_caches_directory": str(node_dir / "saved_caches"),
        "hints_directory": str(node_dir / "hints"),
        "cdc_raw_directory": str(node_dir / "cdc_raw"),
    }


def _behaviour() -> dict[str, object]:
    """What a node of the product needs in development and production alike."""
    return {
        "storage_compatibility_mode": "NONE",
        "paxos_variant": "v2",
        "paxos_state_purging": "gc_grace",
        "commitlog_sync": "periodic",
        "commitlog_sync_period": "10000ms",
        "disk_failure_policy": "stop",
        "commit_failure_policy": "stop",
        "read_request_timeout": "2000ms",
        "write_request_timeout": "2000ms",
        "cas_contention_timeout": "1800ms",
        # a bucket holds 100,000 messages and a little more; all of them may have been deleted by id
        "tombstone_failure_threshold": 500_000,
        "auto_snapshot": False,
        "cdc_enabled": False,
    }


def _security(layout: Layout) -> dict[str, object]:
    """Clients log in and encrypt, or get nowhere."""
    return {
        "authenticator": {"class_name": "org.apache.cassandra.auth.PasswordAuthenticator"},
        "authorizer": {"class_name": "org.apache.cassandra.auth.CassandraAuthorizer"},
        "client_encryption_options": {
            "enabled": True,
            "optional": False,
            "keystore": str(layout.key_store),
            "keystore_password": KEY_STORE_PASSWORD,
            "store_type": "PKCS12",
            "require_client_auth": "false",
        },
    }


def _small_machine(layout: Layout) -> dict[str, object]:
    """Bounds that fit a heap of 512 to 768 MB; a larger one is for what waits to be written to files."""
    return {
        "memtable_allocation_type": "heap_buffers",
        "memtable_heap_space": f"{96 if layout.heap_mb <= 768 else layout.heap_mb // 4}MiB",
        "key_cache_size": "16MiB",
        "file_cache_size": "64MiB",
        "commitlog_total_space": "512MiB",
        "concurrent_compactors": 1,
    }
