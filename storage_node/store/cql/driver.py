"""The one door to the driver, which has no types: connecting, preparing, and sending without a thread per request."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from cassandra import ConsistencyLevel
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import (
    EXEC_PROFILE_DEFAULT,
    Cluster,
    ExecutionProfile,
    ResponseFuture,
    Session,
)
from cassandra.policies import (
    ConstantReconnectionPolicy,
    ConstantSpeculativeExecutionPolicy,
    DCAwareRoundRobinPolicy,
    NoSpeculativeExecutionPolicy,
    TokenAwarePolicy,
)
from cassandra.query import BatchStatement, BatchType, SimpleStatement, dict_factory, tuple_factory

from common.clock import SYSTEM_CLOCK
from storage_node.store.cql.faults import of_all_attempts, reason_of
from storage_node.store.cql.prepared import Prepared
from storage_node.store.cql.retries import RetryOnOtherHost, SendOnce
from storage_node.store.cql.statements import Kind, Level, Statement, qualify
from storage_node.store.errors import StoreFailedError

PROTOCOL_VERSION: Final = 5
CONNECT_TIMEOUT_S: Final = 3.0
REQUEST_TIMEOUT_S: Final = 2.25
"""Above the server's own 2 s, below D/2: the server's word on an outcome comes first, the caller's patience last."""
HEARTBEAT_S: Final = 1.0
"""A connection silent for this long is asked; without an answer in as long again its host is avoided."""
RECONNECT_S: Final = 1.0
SCHEMA_AGREEMENT_S: Final = 60.0
"""Ten nodes that start at once on three small hosts have been seen to need half of it."""
UNHEARD_PAUSE_S: Final = 0.1
READ_SPECULATION_S: Final = 0.1
WRITE_SPECULATION_S: Final = 0.5

GLOBAL_LEVELS: Final = {
    Level.ONE: ConsistencyLevel.LOCAL_ONE,
    Level.QUORUM: ConsistencyLevel.QUORUM,
    Level.EACH_QUORUM: ConsistencyLevel.EACH_QUORUM,
    Level.SERIAL: ConsistencyLevel.SERIAL,
}
LOCAL_LEVELS: Final = {
    **GLOBAL_LEVELS,
    Level.QUORUM: ConsistencyLevel.LOCAL_QUORUM,
    Level.SERIAL: ConsistencyLevel.LOCAL_SERIAL,
}

_UNHEARD_OF: Final = re.compile(
    "does not exist|doesn't exist|unconfigured table|Unknown CF|INCOMPATIBLE_SCHEMA"
    "|timed out|OperationTimedOut|CAS operation|Cannot achieve consistency"
)

T = TypeVar("T")
Deliver = Callable[[Any, BaseException | None], None]


class Place(NamedTuple):
    """Where the cluster is and how to get in."""

    hosts: Sequence[str]
    port: int
    local_dc: str
    username: str
    password: str
    tls_ca_file: str
    quorum: str = "global"


class Connection:
    """One session of this process, made after any fork.  Blocking calls are for threads; ``send`` is for the loop."""

    def __init__(self, place: Place) -> None:
        self._levels = LOCAL_LEVELS if place.quorum == "local" else GLOBAL_LEVELS
        self._cluster = Cluster(
            contact_points=list(place.hosts),
            port=place.port,
            protocol_version=PROTOCOL_VERSION,
            auth_provider=PlainTextAuthProvider(place.username, place.password) if place.username else None,
            ssl_context=ssl.create_default_context(cafile=place.tls_ca_file) if place.tls_ca_file else None,
            sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            compression=False,
            execution_profiles=_profiles(place.local_dc, self._levels),
            reconnection_policy=ConstantReconnectionPolicy(RECONNECT_S, max_attempts=None),
            connect_timeout=CONNECT_TIMEOUT_S,
            idle_heartbeat_interval=HEARTBEAT_S,
            idle_heartbeat_timeout=HEARTBEAT_S,
            monitor_reporting_enabled=False,
        )
        with _failing_plainly(self._cluster):
            self._session: Session = self._cluster.connect()
        self._session.default_fetch_size = None  # pages are cut by id and LIMIT, never by the driver
        self._prepared: dict[str, Prepared] = {}

    def close(self) -> None:
        """Let go of all connections."""
        self._cluster.shutdown()

    def execute(
        self, text: str, values: Sequence[object] = (), *, timeout_s: float = 30.0, nearby: bool = False
    ) -> list[tuple[Any, ...]]:
        """Run one statement of administration over all data centres and wait for it.

        ``nearby`` asks for no more than what the deployment calls a quorum: a node then starts while others are away.
        """
        level = self._levels[Level.QUORUM] if nearby else ConsistencyLevel.QUORUM
        statement = SimpleStatement(text, consistency_level=level)
        return _until_known(
            lambda: list(
                self._session.execute(statement, values or None, timeout=timeout_s, execution_profile="admin")
            )
        )

    def settle_schema(self) -> None:
        """Return once all hosts have the same schema: what another node has just made is known everywhere then."""
        with _failing_plainly():
            if not self._cluster.control_connection.wait_for_schema_agreement(wait_time=SCHEMA_AGREEMENT_S):
                raise StoreFailedError("the hosts do not agree on the schema")

    def prepare(self, statements: Sequence[Statement], keyspace: str) -> None:
        """Prepare all statements on every host; one that the server refuses stops the start."""
        for statement in statements:
            prepared = self._prepare(qualify(statement.text, keyspace))
            prepared.consistency_level = self._levels[statement.level]
            prepared.serial_consistency_level = self._levels[Level.SERIAL]
            prepared.is_idempotent = statement.kind.is_idempotent
            self._prepared[statement.name] = Prepared(prepared, statement.kind)

    def _prepare(self, text: str) -> Any:
        return _until_known(lambda: self._session.prepare(text))

    @property
    def hosts(self) -> list[Any]:
        """The hosts that are known to be up."""
        return [host for host in self._cluster.metadata.all_hosts() if host.is_up]

    @property
    def hosts_known(self) -> int:
        """How many hosts the cluster has, up or down."""
        return len(self._cluster.metadata.all_hosts())

    def kind_of(self, name: str) -> Kind:
        """Return the kind of a prepared statement."""
        return self._prepared[name].kind

    def send(
        self, name: str, values: Sequence[object], deliver: Deliver, *, level: Level | None = None, host: Any = None
    ) -> None:
        """Send a prepared statement; ``deliver`` is called from the driver's thread."""
        prepared = self._prepared[name]
        bound = prepared.bind(values)
        if level is not None:
            bound.consistency_level = self._levels[level]
        _attach(self._session.execute_async(bound, execution_profile=prepared.kind.value, host=host), deliver)

    def send_batch(
        self, calls: Sequence[tuple[str, Sequence[object]]], deliver: Deliver, *, kind: Kind, level: Level
    ) -> None:
        """Send statements of one partition together: applied as one."""
        batch = BatchStatement(BatchType.UNLOGGED, consistency_level=self._levels[level])
        batch.serial_consistency_level = self._levels[Level.SERIAL]
        batch.is_idempotent = kind.is_idempotent
        for name, values in calls:
            batch.add(self._prepared[name].bind(values))
        _attach(self._session.execute_async(batch, execution_profile=kind.value), deliver)


@contextlib.contextmanager
def _failing_plainly(cluster: Cluster | None = None) -> Iterator[None]:
    """Administration that fails has failed, whatever the driver calls it; a cluster without a session is let go."""
    try:
        yield
    except StoreFailedError:
        raise
    except Exception as error:
        if cluster is not None:
            cluster.shutdown()
        raise StoreFailedError(reason_of(error)) from error


def _until_known(run: Callable[[], T]) -> T:
    """Run a statement of administration; again for a while, where hosts have not heard of a table made elsewhere, are
    too busy or contend for one row.

    Such statements may run twice; a conditional one must recognize its own first run.
    """
    deadline_s = SYSTEM_CLOCK.monotonic_s() + SCHEMA_AGREEMENT_S
    while True:
        try:
            with _failing_plainly():
                return run()
        except StoreFailedError as error:
            if not _UNHEARD_OF.search(str(error)) or SYSTEM_CLOCK.monotonic_s() > deadline_s:
                raise
            threading.Event().wait(UNHEARD_PAUSE_S)


def _attach(answer: ResponseFuture, deliver: Deliver) -> None:
    """Deliver the first answer alone: the driver calls again for each late one, of a second attempt too."""
    first = threading.Lock()

    def once(result: Any, error: BaseException | None) -> None:
        if first.acquire(blocking=False):
            deliver(result, error)

    def failed(error: BaseException) -> None:
        tried, earlier = tuple(answer.attempted_hosts), dict(answer._errors)  # noqa: SLF001 - told nowhere else
        once(None, of_all_attempts(error, tried, earlier, last=answer.coordinator_host))

    answer.add_callbacks(lambda rows: once(rows, None), failed)


def _profiles(local_dc: str, levels: Mapping[Level, int]) -> dict[object, ExecutionProfile]:
    def profile(*, speculation_s: float | None, rows: object = tuple_factory, timeout_s: float) -> ExecutionProfile:
        nearby = DCAwareRoundRobinPolicy(local_dc=local_dc)
        return ExecutionProfile(
            # the order of replicas is fixed: contenders for one partition meet at the same coordinator
            load_balancing_policy=TokenAwarePolicy(nearby, shuffle_replicas=False),
            retry_policy=SendOnce() if speculation_s is None else RetryOnOtherHost(),
            speculative_execution_policy=(
                NoSpeculativeExecutionPolicy()
                if speculation_s is None
                else ConstantSpeculativeExecutionPolicy(speculation_s, 2)
            ),
            consistency_level=levels[Level.QUORUM],
            serial_consistency_level=levels[Level.SERIAL],
            request_timeout=timeout_s,
            row_factory=rows,
        )

    admin = profile(speculation_s=None, timeout_s=30.0)
    admin.serial_consistency_level = ConsistencyLevel.SERIAL  # the schema belongs to all data centres
    return {
        EXEC_PROFILE_DEFAULT: admin,
        "admin": admin,
        Kind.READ.value: profile(speculation_s=READ_SPECULATION_S, timeout_s=REQUEST_TIMEOUT_S),
        Kind.WRITE.value: profile(speculation_s=WRITE_SPECULATION_S, timeout_s=REQUEST_TIMEOUT_S),
        Kind.CONDITIONAL.value: profile(speculation_s=None, rows=dict_factory, timeout_s=REQUEST_TIMEOUT_S),
        Kind.SERIAL.value: profile(speculation_s=None, timeout_s=REQUEST_TIMEOUT_S),
    }
