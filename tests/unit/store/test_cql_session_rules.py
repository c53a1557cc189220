"""What the driver may do by itself: how long it waits, what it sends twice, and what it leaves to the caller."""

from __future__ import annotations

import re

import pytest
from cassandra.cluster import EXEC_PROFILE_DEFAULT
from cassandra.policies import (
    ConstantSpeculativeExecutionPolicy,
    DCAwareRoundRobinPolicy,
    NoSpeculativeExecutionPolicy,
    RetryPolicy,
    TokenAwarePolicy,
)

from common.limits import LATE_WINDOW_MS
from deploy.cassandra.configuration import _behaviour
from storage_node.store.cql.driver import (
    GLOBAL_LEVELS,
    HEARTBEAT_S,
    REQUEST_TIMEOUT_S,
    WRITE_SPECULATION_S,
    _profiles,
)
from storage_node.store.cql.retries import RETRIES_MAX, RetryOnOtherHost, SendOnce
from storage_node.store.cql.statements import Kind, load_statements

PROFILES = _profiles("dc1", GLOBAL_LEVELS)
HALF_WINDOW_S = LATE_WINDOW_MS / 2 / 1000
QUESTIONS = ["on_read_timeout", "on_write_timeout", "on_unavailable", "on_request_error"]


@pytest.mark.parametrize("kind", list(Kind))
def test_only_what_may_run_twice_is_sent_twice(kind: Kind) -> None:
    """Speculation and retries go with idempotence, for every kind of statement."""
    profile = PROFILES[kind.value]
    speculates = isinstance(profile.speculative_execution_policy, ConstantSpeculativeExecutionPolicy)
    assert speculates == kind.is_idempotent
    assert isinstance(profile.retry_policy, RetryOnOtherHost if kind.is_idempotent else SendOnce)
    if not speculates:
        assert isinstance(profile.speculative_execution_policy, NoSpeculativeExecutionPolicy)


def test_a_conditional_statement_is_never_idempotent() -> None:
    """Whatever has a condition in its text is of a kind that is sent once."""
    for statement in load_statements():
        has_condition = re.search(r"\bIF (?!EXISTS)", statement.text) is not None
        assert has_condition == (statement.kind is Kind.CONDITIONAL), statement.name


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_statement_that_must_not_run_twice_is_left_to_the_caller(question: str) -> None:
    """Lost connections included: the driver's own policy would go to the next host."""
    assert getattr(SendOnce(), question)(None, retry_num=0) == (RetryPolicy.RETHROW, None)


def test_an_idempotent_statement_tries_a_bounded_number_of_hosts() -> None:
    """A host that is lost or refuses is left for another; what took the server's whole time is not begun again."""
    policy = RetryOnOtherHost()
    next_host, rethrow = (RetryPolicy.RETRY_NEXT_HOST, None), (RetryPolicy.RETHROW, None)
    assert [policy.on_request_error(retry_num=n) for n in range(RETRIES_MAX + 1)] == [next_host] * RETRIES_MAX + [
        rethrow
    ]
    assert [policy.on_unavailable(retry_num=n) for n in range(2)] == [next_host, rethrow]
    assert policy.on_read_timeout(retry_num=0) == policy.on_write_timeout(retry_num=0) == rethrow


@pytest.mark.parametrize("profile", [*(kind.value for kind in Kind), EXEC_PROFILE_DEFAULT])
def test_requests_go_to_a_replica_and_contenders_to_the_same_one(profile: object) -> None:
    """Token-aware, in a fixed order, in the local data centre first."""
    policy = PROFILES[profile].load_balancing_policy
    assert isinstance(policy, TokenAwarePolicy)
    assert isinstance(policy._child_policy, DCAwareRoundRobinPolicy)
    assert policy.shuffle_replicas is False


def test_the_server_gives_up_first_then_the_driver_then_the_append() -> None:
    """So the server's word on an outcome comes before the caller's patience ends, and all within D/2."""
    settings = _behaviour()
    for name in ("read_request_timeout", "write_request_timeout", "cas_contention_timeout"):
        assert float(str(settings[name]).removesuffix("ms")) / 1000 < REQUEST_TIMEOUT_S < HALF_WINDOW_S
    for kind in Kind:
        assert PROFILES[kind.value].request_timeout == REQUEST_TIMEOUT_S
    assert WRITE_SPECULATION_S < REQUEST_TIMEOUT_S
    assert 2 * HEARTBEAT_S < REQUEST_TIMEOUT_S, "a frozen host is noticed within one request's time"
