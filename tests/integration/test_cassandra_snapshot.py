"""The runbook's backup and restore of Cassandra, done to a real one under load."""

from __future__ import annotations

import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest
from cassandra.cluster import Cluster as Driver

from deploy.cassandra import jars
from deploy.cassandra.jvm import nodetool_command
from tests.support.cassandra import shared_cluster
from tests.support.cassandra_store import store_lines
from tests.support.deployment import Deployment
from tests.support.service import wait_until

KEYSPACE: Final = "backups"
NAME: Final = "under-load"
ENOUGH: Final = 200


def nodetool(*words: str) -> None:
    """Run the server's administration tool as the runbook says."""
    cluster = shared_cluster(1)
    (node,) = cluster.nodes
    command = nodetool_command(
        cluster.layout, java=jars.find_java(), number=1, jmx_port=node.jmx_port, words=list(words)
    )
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def table_folders() -> dict[str, Path]:
    """Return where each table's files are."""
    base = shared_cluster(1).layout.node_dir(1)
    return {place.name.partition("-")[0]: place for place in base.glob(f"**/{KEYSPACE}/*-*") if place.is_dir()}


def restore() -> None:
    """Empty all tables, put the snapshot's files in their places, and have them loaded."""
    folders = table_folders()
    with Driver([shared_cluster(1).layout.addresses[0]]) as driver:
        session = driver.connect()
        for table in folders:
            session.execute(f"TRUNCATE {KEYSPACE}.{table}", timeout=60)
    held = {table: place for table, place in folders.items() if [*(place / "snapshots" / NAME).glob("*-Data.db")]}
    for place in held.values():
        for file in (place / "snapshots" / NAME).iterdir():
            if file.is_file() and file.name not in {"manifest.json", "schema.cql"}:
                shutil.copy2(file, place)
    with ThreadPoolExecutor(3) as loading:
        list(loading.map(lambda table: nodetool("refresh", "--", KEYSPACE, table), held))


@pytest.mark.cassandra
@pytest.mark.timeout(400)
def test_a_snapshot_taken_under_load_has_everything_acknowledged_before_it(tmp_path: Path) -> None:
    """Messages, queues and delivery state are there again; what came after the snapshot is gone."""
    with Deployment(tmp_path, store=store_lines(1, keyspace=KEYSPACE)) as deployment:
        api = deployment.api()
        assert api.post("", data={"queue_name": "busy"}).status_code == 201
        assert api.post("", data={"queue_name": "settled"}).status_code == 201
        assert api.post("settled", data=b"done").status_code == 201
        (claimed,) = api.post("settled/claims", json={}).json()["claims"]
        assert api.post("settled/acks", json={"receipts": [claimed["receipt"]]}).status_code == 200
        acknowledged: list[str] = []
        ending = threading.Event()

        def write(number: int) -> None:
            with deployment.api() as own:
                while not ending.is_set():
                    body = f"{number} {len(acknowledged)}"
                    if own.post("busy", data=body.encode()).status_code == 201:
                        acknowledged.append(body)

        writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
        for writer in writers:
            writer.start()
        wait_until(lambda: len(acknowledged) >= ENOUGH, within_s=60, what="messages")
        before = set(acknowledged)
        nodetool("snapshot", "-t", NAME, "--", KEYSPACE)
        ending.set()
        for writer in writers:
            writer.join()
        assert api.post("busy", data=b"afterwards").status_code == 201
        deployment.stop()
        restore()
        deployment.start()
        found = bodies_of(deployment, "busy")
        assert before <= found
        assert "afterwards" not in found
        assert deployment.api().post("settled/claims", json={}).json()["claims"] == []
        assert deployment.api().post("busy", data=b"and on").status_code == 201


def bodies_of(deployment: Deployment, queue: str) -> set[str]:
    """Return the bodies of all messages of a queue."""
    found: set[str] = set()
    since: dict[str, str] = {}
    with deployment.api() as api:
        while True:
            page = api.get(queue, params={"limit": "1000", **since}).json()
            found |= {message["body"] for message in page["messages"]}
            if len(page["messages"]) < 1000:
                return found
            since = {"since": page["messages"][-1]["message_id"]}
