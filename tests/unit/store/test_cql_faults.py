"""What the driver reports as an error keeps *failed* and *unknown* apart."""

from __future__ import annotations

import pytest
from cassandra import (
    ConsistencyLevel,
    OperationTimedOut,
    ReadTimeout,
    Unavailable,
    WriteFailure,
    WriteTimeout,
    WriteType,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionException, ConnectionShutdown
from cassandra.pool import NoConnectionsAvailable
from cassandra.protocol import (
    ErrorMessage,
    IsBootstrappingErrorMessage,
    OverloadedErrorMessage,
    ServerError,
    SyntaxException,
)

from storage_node.store.cql.faults import translate
from storage_node.store.cql.statements import Kind
from storage_node.store.errors import StoreError, StoreFailedError, StoreOverloadedError, StoreUnknownError

QUORUM = ConsistencyLevel.QUORUM
CONTENDED = ErrorMessage(0x1700, "CAS operation result is unknown", None)


def away(*errors: BaseException) -> NoHostAvailable:
    return NoHostAvailable("no host", {f"host {n}": error for n, error in enumerate(errors)})


UNKNOWN_OF_A_WRITE: list[BaseException] = [
    CONTENDED,
    WriteTimeout("late", consistency=QUORUM, required_responses=2, received_responses=1, write_type=WriteType.CAS),
    WriteTimeout("late", consistency=QUORUM, required_responses=2, received_responses=1, write_type=WriteType.SIMPLE),
    WriteFailure("failed at one", consistency=QUORUM, required_responses=2, received_responses=1, failures=1),
    ReadTimeout("in the reading part of a conditional write", consistency=QUORUM),
    OperationTimedOut({"host": "no answer"}, "host"),
    ServerError(0, "broken", None),
    ConnectionShutdown("lost after sending"),
    away(ConnectionShutdown("lost after sending"), ConnectionException("Host has been marked down or removed")),
]
FAILED: list[BaseException] = [
    Unavailable("too few", consistency=QUORUM, required_replicas=2, alive_replicas=1),
    IsBootstrappingErrorMessage(0x1002, "joining", None),
    SyntaxException(0x2000, "bad", None),
    away(),
    away(ConnectionException("Host has been marked down or removed"), ConnectionException("Pool is shutdown")),
]
OVERLOADED: list[BaseException] = [
    OverloadedErrorMessage(0x1001, "too much", None),
    away(OverloadedErrorMessage(0x1001, "too much", None), NoConnectionsAvailable()),
]


@pytest.mark.parametrize("kind", [Kind.WRITE, Kind.CONDITIONAL])
@pytest.mark.parametrize("error", UNKNOWN_OF_A_WRITE, ids=repr)
def test_a_write_that_began_may_have_been_done(error: BaseException, kind: Kind) -> None:
    """Whatever was sent and not surely refused is unknown, never failed."""
    assert type(translate(error, kind)) is StoreUnknownError


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("error", FAILED, ids=repr)
def test_what_was_refused_before_it_began_has_failed(error: BaseException, kind: Kind) -> None:
    """Refusals and hosts that were known to be away are certain."""
    assert type(translate(error, kind)) is StoreFailedError


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("error", OVERLOADED, ids=repr)
def test_overload_is_told_as_such(error: BaseException, kind: Kind) -> None:
    """The caller is to come back later, not elsewhere."""
    assert type(translate(error, kind)) is StoreOverloadedError


@pytest.mark.parametrize("kind", [Kind.READ, Kind.SERIAL])
@pytest.mark.parametrize("error", [*UNKNOWN_OF_A_WRITE, *FAILED], ids=repr)
def test_a_read_has_no_unknown_outcome(error: BaseException, kind: Kind) -> None:
    """A read changes nothing, so a read without an answer has failed."""
    translated: StoreError = translate(error, kind)
    assert type(translated) is StoreFailedError
