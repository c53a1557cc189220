"""How expired messages leave the disk: ``python -m tests.bench.cassandra_expiry [--seconds 240]``, some ten minutes.

Two tables of a real Cassandra get the same rows at the same time, with a TTL of a minute: one with the compaction of
the message tables (TWCS, here with windows of a minute), one with UCS.  Both flush every ten seconds.  Told is what
compactions read and wrote, how much was dropped without having been read, and when the last file was gone.  The
cluster is a new one of one node, or the running one whose folder and addresses are named.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from common.settings import StoreSettings
from deploy.cassandra.layout import Layout
from storage_node.store.cql.driver import Connection
from storage_node.store.cql.opening import _connect
from tests.bench.cassandra_report import keep
from tests.support.cassandra import shared_cluster

TTL_S: Final = 60
GRACE_S: Final = 60
FLUSH_S: Final = 10
ROWS_PER_S: Final = 20
BODY_BYTES: Final = 2_000
KEYSPACE: Final = f"expiry_{os.urandom(4).hex()}"
PATIENCE_S: Final = 300.0
MB: Final = 1e6
TABLES: Final = {
    "twcs": "'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'MINUTES',"
    " 'compaction_window_size': 1, 'expired_sstable_check_frequency_seconds': 5",
    "ucs": "'class': 'UnifiedCompactionStrategy', 'scaling_parameters': 'T4',"
    " 'expired_sstable_check_frequency_seconds': 5",
}


def main() -> int:
    """Write, wait, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cassandra_expiry")
    parser.add_argument("--seconds", type=int, default=240, help="how long rows are written")
    parser.add_argument("--data-dir", type=Path, help="of a cluster that runs")
    parser.add_argument("--prefix", default="127.0.0", help="of its addresses")
    arguments = parser.parse_args()
    running = arguments.data_dir and Layout(data_dir=arguments.data_dir, prefix=arguments.prefix)
    layout = running or shared_cluster(1).layout
    connection = _connect(StoreSettings(backend="cassandra", hosts=layout.addresses, keyspace=KEYSPACE))
    try:
        make_tables(connection)
        files = {name: Files(layout.node_dir(1) / "data" / KEYSPACE, name) for name in TABLES}
        write(connection, arguments.seconds, files)
        gone_s = wait_until_gone(files)
        keep("cassandra-expiry", {name: told(connection, files[name], gone_s[name]) for name in TABLES})
    finally:
        connection.execute(f"DROP KEYSPACE IF EXISTS {KEYSPACE}")
        connection.close()
    return 0


class Files:
    """The data files of a table: those that are there, and all that ever were."""

    def __init__(self, folder: Path, table: str) -> None:
        self.table = table
        self._folder = folder
        self._sizes: dict[Path, int] = {}

    def look(self) -> bool:
        """Take note of the files; is any there?"""
        found = [*self._folder.glob(f"{self.table}-*/*-Data.db")]
        for each in found:
            with contextlib.suppress(FileNotFoundError):
                self._sizes[each] = max(each.stat().st_size, self._sizes.get(each, 0))
        return bool(found)

    @property
    def total_bytes(self) -> int:
        """All that was ever written, by flushes and by compactions."""
        return sum(self._sizes.values())


def make_tables(connection: Connection) -> None:
    """Make both tables."""
    connection.execute(
        f"CREATE KEYSPACE {KEYSPACE} WITH replication = {{'class': 'NetworkTopologyStrategy', 'dc1': 1}}"
    )
    for name, compaction in TABLES.items():
        connection.execute(
            f"CREATE TABLE {KEYSPACE}.{name} (bucket bigint, id bigint, body blob, PRIMARY KEY ((bucket), id))"
            f" WITH gc_grace_seconds = {GRACE_S} AND memtable_flush_period_in_ms = {FLUSH_S * 1000}"
            f" AND compaction = {{{compaction}}}"
        )


def write(connection: Connection, seconds: int, files: Mapping[str, Files]) -> None:
    """Write steadily; a partition takes a minute's rows."""
    end_s, number = time.monotonic() + seconds, 0
    while time.monotonic() < end_s:
        begun_s, minute = time.monotonic(), int(time.time()) // 60
        for _ in range(ROWS_PER_S):
            number += 1
            for name in TABLES:
                text = f"INSERT INTO {KEYSPACE}.{name} (bucket, id, body) VALUES (%s, %s, %s) USING TTL {TTL_S}"
                connection.execute(text, (minute, number, random.randbytes(BODY_BYTES)))
        for each in files.values():
            each.look()
        time.sleep(max(0.0, begun_s + 1 - time.monotonic()))


def wait_until_gone(files: Mapping[str, Files]) -> dict[str, float | None]:
    """Return when each table's last file was gone, in seconds since the last row; ``None``: not in time."""
    begun_s = time.monotonic()
    gone_s: dict[str, float | None] = dict.fromkeys(files)
    time.sleep(FLUSH_S + 2)  # the last rows get into a file
    while time.monotonic() - begun_s < PATIENCE_S and None in gone_s.values():
        for name, each in files.items():
            if not each.look() and gone_s[name] is None:
                gone_s[name] = round(time.monotonic() - begun_s)
        time.sleep(1)
    return gone_s


def told(connection: Connection, files: Files, gone_s: float | None) -> dict[str, Any]:
    """Sum up a table's compactions; what no compaction read was dropped whole."""
    rows = connection.execute(
        "SELECT bytes_in, bytes_out, keyspace_name, columnfamily_name FROM system.compaction_history"
    )
    own = [(read, written) for read, written, *place in rows if tuple(place) == (KEYSPACE, files.table)]
    read, written = sum(read for read, _ in own), sum(written for _, written in own)
    return {
        "flushed_mb": round((files.total_bytes - written) / MB, 1),
        "compactions": len(own),
        "read_mb": round(read / MB, 1),
        "written_mb": round(written / MB, 1),
        "dropped_unread_mb": round((files.total_bytes - read) / MB, 1),
        "last_file_gone_s": gone_s,
    }


if __name__ == "__main__":
    sys.exit(main())
