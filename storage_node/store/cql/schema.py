"""The schema as numbered steps, applied in order under a lock in the store: any number of nodes may start at once."""

from __future__ import annotations

import contextlib
import random
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from typing import Final, NamedTuple

from common.clock import SYSTEM_CLOCK
from storage_node.store.cql.driver import Connection
from storage_node.store.cql.statements import qualify
from storage_node.store.errors import StoreFailedError

LOCK_TTL_S: Final = 60
LOCK_PATIENCE_S: Final = 120.0
LOCK_POLL_S: Final = 0.5
"""Seconds between two looks at the lock, at least."""

STEPS_AHEAD_MAX: Final = 1
"""Steps beyond its own that a program works with.  A version adds one step at most and a step only adds tables, so a
node of the version before may be started again while the others are brought up to date."""

_TAKE: Final = "INSERT INTO schema_lock (name, holder) VALUES ('schema', %s) IF NOT EXISTS USING TTL %s"
_LOOK: Final = "SELECT holder FROM schema_lock WHERE name = 'schema'"
_RENEW: Final = "UPDATE schema_lock USING TTL %s SET holder = %s WHERE name = 'schema' IF holder = %s"
_RELEASE: Final = "DELETE FROM schema_lock WHERE name = 'schema' IF holder = %s"
_STEP_NAME: Final = re.compile(r"(\d{4})_(\w+)\.cql")


_QUORUM: Final = "quorum"
"""Besides the lock itself, the row of its table that is taken once for good."""


class Step(NamedTuple):
    """One numbered file."""

    number: int
    name: str
    statements: tuple[str, ...]


def load_steps() -> list[Step]:
    """Return the steps in order; their numbers have no gap."""
    steps = sorted(_read_steps())
    if [step.number for step in steps] != list(range(1, len(steps) + 1)):
        raise StoreFailedError("the schema's steps are not numbered without a gap")
    return steps


def migrate(connection: Connection, *, keyspace: str, replication: Mapping[str, int]) -> int:
    """Create the keyspace if it is not there and apply the steps that are missing; return how many were.

    Raises:
        StoreFailedError: the keyspace was made by a much newer version, or another node holds the lock too long.
    """
    _make_keyspace(connection, keyspace, replication)
    lock = _Lock(connection, keyspace)
    if not lock.take(unless=lambda: not missing_steps(connection, keyspace, nearby=True)):
        return 0
    try:
        connection.settle_schema()
        steps = missing_steps(connection, keyspace)
        for step in steps:
            lock.renew()
            _apply(connection, step, keyspace)
        return len(steps)
    finally:
        lock.release()


def missing_steps(connection: Connection, keyspace: str, *, nearby: bool = False) -> list[Step]:
    """Return the steps that the keyspace does not have yet.

    Raises:
        StoreFailedError: the keyspace is further than the version after this one brings it.
    """
    rows = connection.execute(qualify("SELECT number FROM schema_steps WHERE part = 'all'", keyspace), nearby=nearby)
    applied = {number for (number,) in rows}
    steps = load_steps()
    if max(applied, default=0) > len(steps) + STEPS_AHEAD_MAX:
        raise StoreFailedError("the keyspace was made by a newer version of this program")
    return [step for step in steps if step.number not in applied]


def check(connection: Connection, *, keyspace: str) -> None:
    """Refuse a keyspace that is not there or not up to date.

    Raises:
        StoreFailedError: says which command brings it up to date.
    """
    found = connection.execute("SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s", (keyspace,))
    if ("schema_steps",) not in found:
        raise StoreFailedError(f"the keyspace {keyspace} has no schema: apply it first")
    if missing_steps(connection, keyspace, nearby=True):
        raise StoreFailedError(f"the schema of the keyspace {keyspace} is not up to date: apply the missing steps")


def fix_quorum(connection: Connection, *, keyspace: str, quorum: str) -> None:
    """Write down, once for a keyspace, over what its quorums are counted: serial levels are never mixed on one row.

    Raises:
        StoreFailedError: it was made for the other kind.
    """
    mark, place = uuid.uuid5(uuid.NAMESPACE_OID, f"quorum {quorum}"), (_QUORUM,)
    text = qualify("SELECT holder FROM schema_lock WHERE name = %s", keyspace)
    standing = connection.execute(text, place, nearby=True)
    if not standing:
        take = qualify("INSERT INTO schema_lock (name, holder) VALUES (%s, %s) IF NOT EXISTS", keyspace)
        row = connection.execute(take, (*place, mark))[0]
        standing = [(mark if row[0] else row[-1],)]
    if standing[0][0] != mark:
        raise StoreFailedError(f"the keyspace {keyspace} was made for another [store] quorum than {quorum}")


def _make_keyspace(connection: Connection, keyspace: str, replication: Mapping[str, int]) -> None:
    """Make what the lock itself needs; the tables' own ids keep two nodes from making two of each."""
    factors = "".join(f", '{dc}': {replicas}" for dc, replicas in sorted(replication.items()))
    known = connection.execute(
        "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s", (keyspace,)
    )
    if not known:
        connection.execute(
            f"CREATE KEYSPACE IF NOT EXISTS {keyspace}"
            f" WITH replication = {{'class': 'NetworkTopologyStrategy'{factors}}}"
        )
    connection.settle_schema()
    found = connection.execute("SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s", (keyspace,))
    columns = {
        "schema_steps": "part text, number int, name text, PRIMARY KEY ((part), number)",
        "schema_lock": "name text PRIMARY KEY, holder uuid",
    }
    for table in sorted(columns.keys() - {name for (name,) in found}):
        table_id = uuid.uuid5(uuid.NAMESPACE_OID, f"{keyspace}.{table}")
        connection.execute(f"CREATE TABLE IF NOT EXISTS {keyspace}.{table} ({columns[table]}) WITH id = {table_id}")
    connection.settle_schema()


def _apply(connection: Connection, step: Step, keyspace: str) -> None:
    for statement in step.statements:
        connection.execute(qualify(statement, keyspace))
    note = "INSERT INTO schema_steps (part, number, name) VALUES ('all', %s, %s)"
    connection.execute(qualify(note, keyspace), (step.number, step.name))


class _Lock:
    """One migrating node at a time; a node that dies with it loses it after a minute."""

    def __init__(self, connection: Connection, keyspace: str) -> None:
        self._connection = connection
        self._keyspace = keyspace
        self._holder = uuid.uuid4()
        self._rng = random.SystemRandom()

    def take(self, *, unless: Callable[[], bool]) -> bool:
        """Return true once the lock is ours, false once ``unless`` holds: another node has done the work.

        Those that wait look with plain reads most of the time: many conditional writes of one row at once only keep
        each other, and the holder, from an outcome.
        """
        deadline_s = SYSTEM_CLOCK.monotonic_s() + LOCK_PATIENCE_S
        pause = threading.Event()
        while not unless():
            if self._is_taken():
                return True
            if SYSTEM_CLOCK.monotonic_s() > deadline_s:
                raise StoreFailedError("another node has been applying the schema for too long")
            pause.wait(self._rng.uniform(LOCK_POLL_S, 2 * LOCK_POLL_S))
        return False

    def _is_taken(self) -> bool:
        """Taken now, or by a first run whose answer was lost: a refusal shows who holds it."""
        held = self._connection.execute(qualify(_LOOK, self._keyspace))
        if held and held[0][0] != self._holder:
            return False
        row = self._connection.execute(qualify(_TAKE, self._keyspace), (self._holder, LOCK_TTL_S))[0]
        return bool(row[0]) or row[-1] == self._holder

    def renew(self) -> None:
        if not self._applied(_RENEW, LOCK_TTL_S, self._holder, self._holder):
            raise StoreFailedError("the lock of the schema was lost while applying it")

    def release(self) -> None:
        """Give it back; where that is not certain it ends by itself."""
        with contextlib.suppress(StoreFailedError):
            self._applied(_RELEASE, self._holder)

    def _applied(self, statement: str, *values: object) -> bool:
        return bool(self._connection.execute(qualify(statement, self._keyspace), values)[0][0])


def _read_steps() -> Iterator[Step]:
    for file in files(__package__).joinpath("schema").iterdir():
        found = _STEP_NAME.fullmatch(file.name)
        if found is not None:
            yield Step(int(found.group(1)), found.group(2), tuple(_statements(file.read_text())))


def _statements(text: str) -> Iterator[str]:
    bare = "\n".join(line.partition("--")[0].rstrip() for line in text.splitlines())
    for statement in bare.split(";"):
        if statement.strip():
            yield statement.strip()
