"""A Cassandra of two data centres whose clients must encrypt and log in.

Who gets in, and how many replicas are asked.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pytest
from cassandra import ConsistencyLevel
from cassandra.cluster import ResponseFuture

from common.guarantees import Consistency
from common.identifiers import HIGHEST, LOWEST
from common.settings import StoreSettings
from deploy.cassandra import probe
from deploy.cassandra.cluster import Cluster
from storage_node.store.cql import CassandraStore, open_cassandra_store
from storage_node.store.cql.driver import Connection, Place
from storage_node.store.errors import StoreError, StoreFailedError
from storage_node.store.interface import Applied, GroupRow, LogAddress, StoredMessage
from tests.support.cassandra import dispose, make_cluster
from tests.support.deployment import Deployment, Process
from tests.support.http_calls import bodies, new_queue, post, read
from tests.support.service import wait_until
from tests.support.store_calls import append, fresh_log, ids_from, message, now, open_log
from tests.support.tools import require_program

pytestmark = [pytest.mark.cassandra, pytest.mark.timeout(600)]

PASSWORD: Final = "correct horse battery"
WRONG: Final = "hunter2-is-not-it"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A secure node in each of two data centres, with a role that may make its own keyspaces and nothing else."""
    made = make_cluster(2, secure=True, data_centres=2)
    try:
        made.start()
        connection = administrator(made)
        connection.execute(
            "ALTER KEYSPACE system_auth WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 1, 'dc2': 1}"
        )
        connection.execute(f"CREATE ROLE queuey WITH PASSWORD = '{PASSWORD}' AND LOGIN = true")
        connection.execute("GRANT CREATE ON ALL KEYSPACES TO queuey")
        connection.close()
        yield made
    finally:
        dispose(made)


def administrator(cluster: Cluster) -> Connection:
    """Connect as the one who may do everything."""
    layout = cluster.layout
    hosts, authority = layout.addresses[:1], str(layout.authority_file)
    return Connection(Place(hosts, layout.cql_port, "dc1", "cassandra", "cassandra", authority))


@pytest.fixture
def settings(cluster: Cluster, tmp_path: Path) -> StoreSettings:
    """What gets in."""
    return StoreSettings(
        backend="cassandra",
        hosts=cluster.layout.addresses[:1],
        keyspace="guarded",
        replication={"dc1": 1, "dc2": 1},
        username="queuey",
        password_file=secret_file(tmp_path / "password", PASSWORD),
        tls_ca_file=str(cluster.layout.authority_file),
    )


def with_quorum(settings: StoreSettings, quorum: str) -> StoreSettings:
    """Return settings for one kind of quorum, with the keyspace that is of this kind."""
    keyspace = settings.keyspace if quorum == "global" else f"{settings.keyspace}_{quorum}"
    return msgspec.structs.replace(settings, quorum=quorum, keyspace=keyspace)


def secret_file(file: Path, text: str) -> str:
    file.write_text(f"{text}\n")
    file.chmod(0o600)
    return str(file)


def store_lines(settings: StoreSettings) -> str:
    """Return the lines of ``[store]``."""
    names = ("backend", "hosts", "keyspace", "username", "password_file", "tls_ca_file")
    lines = [f"{name} = {json.dumps(getattr(settings, name))}" for name in names]
    return "\n".join([*lines, "replication = { dc1 = 1, dc2 = 1 }"])


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


LEVELS: Final = {
    "weak read": ("LOCAL_ONE", "LOCAL_ONE"),
    "read": ("QUORUM", "LOCAL_QUORUM"),
    "append": ("QUORUM", "LOCAL_QUORUM"),
    "very strong append": ("EACH_QUORUM", "EACH_QUORUM"),
    "conditional": ("QUORUM", "LOCAL_QUORUM"),
    "very strong conditional": ("EACH_QUORUM", "EACH_QUORUM"),
    "row": ("QUORUM", "LOCAL_QUORUM"),
    "serial read": ("SERIAL", "LOCAL_SERIAL"),
}
"""What the server is asked for where quorums are global, and where they are local."""


class Store(NamedTuple):
    """An open store and what it asked the server for: consistency and serial consistency."""

    store: CassandraStore
    asked: list[tuple[str, str]]


async def watched(settings: StoreSettings) -> Store:
    """Open a store whose driver tells of every request."""
    store = await open_cassandra_store(settings)
    asked: list[tuple[str, str]] = []
    names = ConsistencyLevel.value_to_name

    def note(answer: ResponseFuture) -> None:
        message = answer.message
        asked.append((names[message.consistency_level], names[message.serial_consistency_level]))

    store._session.connection._session.add_request_init_listener(note)
    return Store(store, asked)


async def levels_of(opened: Store) -> dict[str, str]:
    """Do each kind of thing once, and return the level that it asked for."""
    store, log = opened.store, fresh_log()
    bucket = await open_log(store, log)
    first = message(ids_from(now(), 1)[0])
    group = GroupRow("workers", now(), "start", {})
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "append": lambda: store.append_plain(log, bucket, [first], consistency=Consistency.STRONG),
        "very strong append": lambda: store.append_plain(log, bucket, [first], consistency=Consistency.VERY_STRONG),
        "conditional": lambda: append(store, log, bucket, [message(ids_from(now(), 1)[0])]),
        "very strong conditional": lambda: store.append_fenced(
            log, bucket, [message(ids_from(now(), 1)[0])], consistency=Consistency.VERY_STRONG
        ),
        "read": lambda: list_messages(store, log, bucket, Consistency.VERY_STRONG),
        "weak read": lambda: list_messages(store, log, bucket, Consistency.WEAK),
        "row": lambda: store.insert_group(log.queue_id, group),
        "serial read": lambda: store.read_delivery(log.queue_id, 1, "workers"),
    }
    found = {}
    for name, call in calls.items():
        del opened.asked[:]
        await call()
        found[name] = opened.asked[-1][0]
        assert len({serial for _, serial in opened.asked}) == 1
    return found


async def list_messages(
    store: CassandraStore, log: LogAddress, bucket: int, consistency: Consistency
) -> list[StoredMessage]:
    """Read a few messages."""
    return await store.list_messages(
        log, bucket, low=LOWEST, high=HIGHEST, limit=10, now_ticks=now(), consistency=consistency
    )


@pytest.mark.parametrize("quorum", ["global", "local"])
def test_the_server_is_asked_for_what_the_queue_and_the_deployment_say(settings: StoreSettings, quorum: str) -> None:
    """Weak, strong and very strong; one serial level, whatever is asked."""

    async def test() -> None:
        is_local = quorum == "local"
        opened = await watched(with_quorum(settings, quorum))
        assert await levels_of(opened) == {name: levels[is_local] for name, levels in LEVELS.items()}
        assert {serial for _, serial in opened.asked} == {"LOCAL_SERIAL" if is_local else "SERIAL"}
        await opened.store.close()

    asyncio.run(test())


def test_the_kind_of_quorum_is_fixed_for_a_keyspace(settings: StoreSettings) -> None:
    """Two nodes that differ would mix serial levels on one row: the second is not let in."""

    async def test() -> None:
        store = await open_cassandra_store(settings)
        with pytest.raises(StoreFailedError, match=r"another \[store\] quorum than local"):
            await open_cassandra_store(msgspec.structs.replace(settings, quorum="local"))
        again = await open_cassandra_store(settings)
        for one in (store, again):
            await one.close()

    asyncio.run(test())


def test_what_a_queue_says_is_refused_rather_than_weakened(cluster: Cluster, settings: StoreSettings) -> None:
    """Without the other data centre only what asks for a quorum of this one is done."""

    async def test() -> None:
        both = {quorum: await open_cassandra_store(with_quorum(settings, quorum)) for quorum in ("global", "local")}
        log = fresh_log()
        buckets = {quorum: await open_log(store, log) for quorum, store in both.items()}
        cluster.nodes[1].send(signal.SIGSTOP)
        try:
            for quorum, consistency, is_done in (
                ("local", Consistency.STRONG, True),
                ("local", Consistency.WEAK, True),
                ("local", Consistency.VERY_STRONG, False),
                ("global", Consistency.STRONG, False),
                ("global", Consistency.WEAK, False),
            ):
                one = message(ids_from(now(), 1)[0])
                appending = both[quorum].append_plain(log, buckets[quorum], [one], consistency=consistency)
                (outcome,) = await asyncio.gather(appending, return_exceptions=True)
                assert outcome is None if is_done else isinstance(outcome, StoreError), (quorum, consistency, outcome)
            fenced = await append(both["local"], log, buckets["local"], [message(ids_from(now(), 1)[0])])
            assert isinstance(fenced, Applied)
            assert await list_messages(both["local"], log, buckets["local"], Consistency.STRONG)
        finally:
            cluster.nodes[1].send(signal.SIGCONT)
        for store in both.values():
            await store.close()

    asyncio.run(test())
