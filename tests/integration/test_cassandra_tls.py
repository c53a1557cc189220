"""A Cassandra whose clients must encrypt and log in, and what a storage node does about it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import pytest

from common.settings import StoreSettings
from deploy.cassandra import probe
from deploy.cassandra.cluster import Cluster
from storage_node.store.cql import open_cassandra_store
from storage_node.store.cql.driver import Connection, Place
from storage_node.store.errors import StoreFailedError
from tests.support.cassandra import dispose, make_cluster
from tests.support.deployment import Deployment, Process
from tests.support.http_calls import bodies, new_queue, post, read
from tests.support.service import wait_until
from tests.support.tools import require_program

pytestmark = [pytest.mark.cassandra, pytest.mark.timeout(300)]

PASSWORD: Final = "correct horse battery"
WRONG: Final = "hunter2-is-not-it"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One secure node with a role that may make its own keyspace and nothing else."""
    made = make_cluster(1, secure=True)
    try:
        made.start()
        layout = made.layout
        first = Place(layout.addresses, layout.cql_port, "dc1", "cassandra", "cassandra", str(layout.authority_file))
        connection = Connection(first)
        connection.execute(f"CREATE ROLE queuey WITH PASSWORD = '{PASSWORD}' AND LOGIN = true")
        connection.execute("GRANT CREATE ON ALL KEYSPACES TO queuey")
        connection.close()
        yield made
    finally:
        dispose(made)


@pytest.fixture
def settings(cluster: Cluster, tmp_path: Path) -> StoreSettings:
    """What gets in."""
    return StoreSettings(
        backend="cassandra",
        hosts=cluster.layout.addresses,
        keyspace="guarded",
        username="queuey",
        password_file=secret_file(tmp_path / "password", PASSWORD),
        tls_ca_file=str(cluster.layout.authority_file),
    )


def secret_file(file: Path, text: str) -> str:
    file.write_text(f"{text}\n")
    file.chmod(0o600)
    return str(file)


def store_lines(settings: StoreSettings) -> str:
    """Return the lines of ``[store]``."""
    names = ("backend", "hosts", "keyspace", "username", "password_file", "tls_ca_file")
    return "\n".join(f"{name} = {json.dumps(getattr(settings, name))}" for name in names)


def refusal(settings: StoreSettings) -> str:
    """Return what opening the store says."""
    with pytest.raises(StoreFailedError) as caught:
        asyncio.run(open_cassandra_store(settings))
    return str(caught.value)


def test_a_service_works_over_tls_with_a_role_of_its_own(settings: StoreSettings, tmp_path: Path) -> None:
    """From its schema to a message, as a role without further rights; no secret gets into the logs."""
    with Deployment(tmp_path / "service", store=store_lines(settings)) as deployment:
        api = deployment.api()
        queue = new_queue(api)
        post(api, queue, "over TLS")
        assert bodies(read(api, queue)) == ["over TLS"]
    logs = "".join(file.read_text(errors="replace") for file in (tmp_path / "service" / "run").glob("*.log"))
    assert "node_ready" in logs
    assert PASSWORD not in logs


def test_the_server_takes_nobody_who_is_plain_or_anonymous(cluster: Cluster, settings: StoreSettings) -> None:
    """The cluster of these tests is what they take it for."""
    address, port = cluster.layout.addresses[0], cluster.layout.cql_port
    assert probe.answers(address, port, authority=cluster.layout.authority_file)
    assert not probe.answers(address, port)
    refusal(msgspec.structs.replace(settings, tls_ca_file=""))
    anonymous = msgspec.structs.replace(settings, username="", password_file="")
    assert "the hosts refuse the username and password" in refusal(anonymous)


def test_a_wrong_password_is_told_without_it(settings: StoreSettings, tmp_path: Path) -> None:
    """By the store, and by a node's last line; the node ends with status 1."""
    file = secret_file(tmp_path / "wrong", WRONG)
    wrong = msgspec.structs.replace(settings, password_file=file)
    text = refusal(wrong)
    assert "the hosts refuse the username and password" in text
    assert WRONG not in text
    deployment = Deployment(tmp_path / "service", store=store_lines(wrong))
    line = last_line(deployment.node)
    assert line["event"] == "store_not_opened"
    assert "the hosts refuse the username and password" in str(line["error"])
    assert WRONG not in deployment.node.log(1_000)


def last_line(process: Process) -> dict[str, object]:
    """Start a process that is to end by itself; return the last line of its log."""
    process.start()
    try:
        wait_until(lambda: not process.is_running(), within_s=30, what="end of the process")
    finally:
        process.stop()
    return dict(json.loads(process.log(1)))


def test_a_server_that_another_authority_vouches_for_is_refused(settings: StoreSettings, tmp_path: Path) -> None:
    """Whoever poses as the store learns no password."""
    other = tmp_path / "other.pem"
    require_program("openssl", "openssl")
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=other -days 2"
    command = [*words.split(), "-keyout", str(tmp_path / "key.pem"), "-out", str(other)]
    subprocess.run(command, check=True, capture_output=True)
    text = refusal(msgspec.structs.replace(settings, tls_ca_file=str(other)))
    assert "not signed by the configured authority" in text
    assert PASSWORD not in text
