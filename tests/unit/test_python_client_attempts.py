"""When the Python client sends a call again: its decisions, without any I/O."""

from __future__ import annotations

import json
import random
from collections.abc import Generator, Iterable
from decimal import Decimal
from typing import Any

import pytest
from queuey_client import OutcomeUnknownError, Published, RefusedError, calls
from queuey_client.calls import Call
from queuey_client.retrying import TRIES, Answer, NoAnswer, Outcome, Send, Sleep, Step, attempts

PUBLISH = calls.publish("/v1/a/q", "text")
RELEASE = calls.release("/v1/a/q", "receipt", 0.0)
STORED = Answer(201, json.dumps({"messages": [{"key": "k", "partition": 1, "timestamp": "1.5"}]}).encode())
LOST = NoAnswer("the connection broke", sent=True)
UNREACHABLE = NoAnswer("nobody listens", sent=False)


def refused(status: int, code: str, retry: str, *, after_s: float = 0.0) -> Answer:
    """Return a refusal as the service words it."""
    body = {"status": "error", "error_msg": {"field": "text"}, "code": code, "retry": retry}
    return Answer(status, json.dumps(body).encode(), after_s)


UNKNOWN = refused(503, "outcome_unknown", "unknown_outcome")
LATER = refused(503, "overloaded", "later", after_s=7.0)
WRONG = refused(400, "invalid_request", "no")


def carried_out(call: Call[Any], outcomes: Iterable[Outcome]) -> tuple[object, list[float]]:
    """Return what the caller gets and how long the client slept before each further attempt."""
    coming = iter(outcomes)
    slept: list[float] = []
    steps: Generator[Step, Outcome, object] = attempts(call, rng=random.Random(1))
    outcome: Outcome = None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration as end:
            return end.value, slept
        except (RefusedError, OutcomeUnknownError) as error:
            return error, slept
        outcome = next(coming) if isinstance(step, Send) else None
        slept += [step.seconds] if isinstance(step, Sleep) else []


@pytest.mark.parametrize("trouble", [LOST, UNREACHABLE, UNKNOWN, LATER, Answer(502, b"<html>")])
def test_a_publish_is_repeated_until_it_is_known(trouble: Outcome) -> None:
    """Under the key it was given before the first attempt, so that all attempts are one publish."""
    stored, slept = carried_out(PUBLISH, [trouble, STORED])
    assert stored == (Published("k", 1, Decimal("1.5")),)
    assert len(slept) == 1
    assert '"idempotency_key": "' in json.dumps(PUBLISH.json)


@pytest.mark.parametrize("trouble", [LOST, UNKNOWN, Answer(502, b"<html>")])
def test_what_may_happen_twice_is_not_repeated_once_it_may_have_happened(trouble: Outcome) -> None:
    """The caller is told that nobody knows."""
    error, slept = carried_out(RELEASE, [trouble])
    assert isinstance(error, OutcomeUnknownError)
    assert slept == []


@pytest.mark.parametrize("call", [PUBLISH, RELEASE])
def test_what_was_certainly_not_done_is_asked_for_again(call: Call[Any]) -> None:
    """Whatever the call; at last the refusal itself is raised, as nothing was done."""
    error, slept = carried_out(call, [UNREACHABLE] * TRIES)
    assert isinstance(error, RefusedError)
    assert error.retry_later
    assert len(slept) == TRIES - 1


def test_a_refusal_for_good_is_raised_at_once() -> None:
    """With what is wrong; also behind an attempt of which nobody knows, where it is the last word."""
    behind_another: list[Outcome] = [LOST, WRONG]
    for outcomes in ([WRONG], behind_another):
        error, _ = carried_out(PUBLISH, outcomes)
        assert isinstance(error, RefusedError)
        assert (error.status, error.code, error.fields) == (400, "invalid_request", {"field": "text"})


def test_one_attempt_that_may_have_worked_makes_the_whole_unknown() -> None:
    """Although the last ones certainly did not."""
    error, _ = carried_out(PUBLISH, [LOST] + [UNREACHABLE] * (TRIES - 1))
    assert isinstance(error, OutcomeUnknownError)


def test_pauses_grow_and_are_never_shorter_than_the_service_asks_for() -> None:
    """``Retry-After`` is the least."""
    _, slept = carried_out(PUBLISH, [LOST, LOST, LOST, LATER, STORED])
    assert slept[0] < slept[2]
    assert slept[3] >= 7.0
