"""Real Cassandra nodes for tests: started once a test session on free loopback addresses, ended with it.

The jars stay in var/ between sessions.  A session that was killed leaves nodes behind; the next one ends them.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import shutil
from pathlib import Path

from deploy.cassandra.cluster import Cluster
from deploy.cassandra.layout import DEFAULT_LIB_DIR, NODE_COUNTS, PROJECT_DIR, Layout, reason_not_bindable
from deploy.cassandra.problems import ClusterError

TEST_DIR = PROJECT_DIR / "var" / "cassandra-tests"
_clusters: dict[int, Cluster] = {}


def shared_cluster(nodes: int) -> Cluster:
    """The session's cluster of 1 or 3 nodes, started at the first call; the tests share it and leave it whole."""
    if nodes not in _clusters:
        sweep_left_over()
        cluster = make_cluster(nodes)
        atexit.register(dispose, cluster)
        cluster.start()
        _clusters[nodes] = cluster
    return _clusters[nodes]


def make_cluster(
    nodes: int, *, clients_from: int = 0, secure: bool = False, data_centres: int = 1, heap_mb: int = 0
) -> Cluster:
    """A cluster of its own, not started yet; whoever makes it calls `dispose`.

    It starts fast and stays small, unless ``heap_mb`` asks for one that is as fast as it can be once it is warm.
    """
    name = f"{os.getpid()}-{random.randrange(16**6):06x}"
    layout = Layout(
        data_dir=TEST_DIR / name,
        lib_dir=DEFAULT_LIB_DIR,
        prefix=free_prefix(NODE_COUNTS[-1]),
        nodes=nodes,
        heap_mb=heap_mb or 512,
        fast_start=not heap_mb,
        clients_from=clients_from,
        secure=secure,
        data_centres=data_centres,
    )
    return Cluster(layout, progress=_be_silent)


def dispose(cluster: Cluster) -> None:
    """End the nodes and remove their data."""
    cluster.stop()
    shutil.rmtree(cluster.layout.data_dir, ignore_errors=True)


def free_prefix(nodes: int) -> str:
    """Three numbers whose first addresses nobody uses, far from those of a developer's own cluster."""
    for _ in range(100):
        layout = Layout(prefix=f"127.{random.randint(64, 254)}.{random.randint(1, 254)}", nodes=nodes)
        ports = (layout.cql_port, layout.storage_port)
        taken = [reason_not_bindable(address, port) for address in layout.addresses for port in ports]
        if not any(taken):
            return layout.prefix
    raise ClusterError("no free loopback addresses were found for a test cluster")


def sweep_left_over() -> None:
    """End and remove the clusters of test sessions that are gone."""
    for folder in TEST_DIR.glob("*-*") if TEST_DIR.exists() else ():
        if not _is_running(folder.name.partition("-")[0]):
            _sweep(folder)


def _sweep(folder: Path) -> None:
    cluster = Cluster(Layout(data_dir=folder, nodes=3), progress=_be_silent)
    dispose(cluster)


def _is_running(pid: str) -> bool:
    with contextlib.suppress(ProcessLookupError, ValueError):
        os.kill(int(pid), 0)
        return True
    return False


def _be_silent(_: str) -> None:
    """Test clusters start without a word; what goes wrong is in the error."""
