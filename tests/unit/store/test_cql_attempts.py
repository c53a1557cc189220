"""What becomes of a statement that the driver sends more than once: told once, and with every attempt in view."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from cassandra import ConsistencyLevel, Unavailable
from cassandra.cluster import NoHostAvailable, ResponseFuture
from cassandra.connection import ConnectionException, ConnectionShutdown
from cassandra.protocol import OverloadedErrorMessage

from storage_node.store.cql.driver import _attach
from storage_node.store.cql.faults import translate
from storage_node.store.cql.statements import Kind
from storage_node.store.errors import StoreError, StoreFailedError, StoreOverloadedError, StoreUnknownError

UNAVAILABLE = Unavailable("too few", ConsistencyLevel.QUORUM, required_replicas=2, alive_replicas=1)
BUSY = OverloadedErrorMessage(0x1001, "too much", None)
LOST = ConnectionShutdown("lost after sending")
AWAY = ConnectionException("Host has been marked down or removed")


class Sent:
    """The driver's own future of a statement sent to these hosts, and what is delivered of it."""

    def __init__(self, *hosts: str, earlier: dict[str, BaseException] | None = None) -> None:
        metrics = SimpleNamespace(request_timer=SimpleNamespace(addValue=lambda _: None))
        session: Any = SimpleNamespace(cluster=SimpleNamespace(), keyspace=None, row_factory=None)
        balancer = SimpleNamespace(make_query_plan=lambda *_: iter(hosts))
        self.future = ResponseFuture(session, None, None, None, metrics=metrics, load_balancer=balancer)
        self.future.attempted_hosts = list(hosts)
        self.future.coordinator_host = hosts[-1]
        self.future._errors.update(earlier or {})
        self.delivered: list[tuple[Any, BaseException | None]] = []
        _attach(self.future, lambda result, error: self.delivered.append((result, error)))

    def told(self, kind: Kind = Kind.WRITE) -> type[StoreError]:
        """What the caller is told."""
        ((_, error),) = self.delivered
        assert error is not None
        return type(translate(error, kind))


def test_answers_that_come_late_are_delivered_to_nobody() -> None:
    """Each delivery gives a place back: with two for one statement the bound on statements in flight would grow."""
    sent = Sent("h1", "h2")
    sent.future._set_final_result("first")
    sent.future._set_final_result("second")
    sent.future._set_final_exception(LOST)
    assert sent.delivered == [("first", None)]


@pytest.mark.parametrize("last", [UNAVAILABLE, BUSY], ids=["unavailable", "overloaded"])
@pytest.mark.parametrize("earlier", [{"h1": LOST}, {}], ids=["lost", "not answered"])
def test_a_refusal_of_the_second_attempt_does_not_undo_the_first(
    earlier: dict[str, BaseException], last: BaseException
) -> None:
    """The first may have been done, or may be under way: unknown, never failed; a read has failed all the same."""
    sent = Sent("h1", "h2", earlier=earlier)
    sent.future._set_final_exception(last)
    assert sent.told() is StoreUnknownError
    assert sent.told(Kind.READ) is StoreFailedError


def test_an_attempt_under_way_is_seen_where_no_host_is_left() -> None:
    """The driver's summary lists the hosts that it could not ask, and leaves out the one that has not answered."""
    sent = Sent("h1", earlier={"h2": AWAY})
    sent.future._set_final_exception(NoHostAvailable("no host", {"h2": AWAY}))
    assert sent.told() is StoreUnknownError


def test_attempts_that_were_all_refused_have_failed() -> None:
    """Certain stays certain."""
    sent = Sent("h1", "h2", earlier={"h1": UNAVAILABLE})
    sent.future._set_final_exception(UNAVAILABLE)
    assert sent.told() is StoreFailedError
    busy = Sent("h1", "h2", earlier={"h1": BUSY})
    busy.future._set_final_exception(BUSY)
    assert busy.told() is StoreOverloadedError
    mixed = Sent("h1", "h2", earlier={"h1": BUSY})
    mixed.future._set_final_exception(UNAVAILABLE)
    assert mixed.told() is StoreFailedError


def test_one_attempt_is_told_as_it_is() -> None:
    """Refused once: failed, without a detour."""
    sent = Sent("h1")
    sent.future._set_final_exception(UNAVAILABLE)
    assert sent.delivered == [(None, UNAVAILABLE)]
    assert sent.told() is StoreFailedError
