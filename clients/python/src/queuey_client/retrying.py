"""When a call is sent again: a generator without I/O, driven by the sync and the asyncio client alike."""

from __future__ import annotations

import json
import random
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from queuey_client.calls import Call
from queuey_client.errors import OutcomeUnknownError, RefusedError

T = TypeVar("T")

TRIES = 6
PAUSE_S_FIRST = 0.1
PAUSE_S_MOST = 5.0
TROUBLE_PAUSE_S = 2.0
"""Between calls of what goes on for ever, once one has failed with all its attempts."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send the call now."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nothing came back.  ``sent``: the request may have arrived."""

    reason: str
    sent: bool


Step: TypeAlias = Send | Sleep
Outcome: TypeAlias = Answer | NoAnswer | None


def attempts(call: Call[T], *, rng: random.Random) -> Generator[Step, Outcome, T]:
    """Carry one call to its result.

    Raises:
        RefusedError: certainly not done, and not to be had by repeating.
        OutcomeUnknownError: maybe done, and repeating is not safe or did not help.
    """
    pause_s = PAUSE_S_FIRST
    maybe_done = False
    for attempt in range(1, TRIES + 1):
        outcome = yield Send()
        if isinstance(outcome, Answer) and 200 <= outcome.status < 300:
            return call.read(json.loads(outcome.body or b"{}"))
        trouble = _trouble(outcome)
        maybe_done = maybe_done or isinstance(trouble, OutcomeUnknownError)
        if attempt == TRIES or not _may_repeat(call, trouble):
            raise OutcomeUnknownError(str(trouble)) if maybe_done and not _final(trouble) else trouble
        least = outcome.retry_after_s if isinstance(outcome, Answer) else 0.0
        yield Sleep(max(least, pause_s * (0.5 + rng.random())))
        pause_s = min(pause_s * 2, PAUSE_S_MOST)
    raise AssertionError("the last attempt returns or raises")


def may_go_on(error: RefusedError | OutcomeUnknownError) -> bool:
    """Say whether a follower tries again later, although all attempts of one read have failed."""
    return isinstance(error, OutcomeUnknownError) or error.retry_later


def _may_repeat(call: Call[Any], trouble: RefusedError | OutcomeUnknownError) -> bool:
    if isinstance(trouble, RefusedError):
        return trouble.retry_later
    return call.repeatable


def _final(trouble: RefusedError | OutcomeUnknownError) -> bool:
    return isinstance(trouble, RefusedError) and not trouble.retry_later


def _trouble(outcome: Outcome) -> RefusedError | OutcomeUnknownError:
    if isinstance(outcome, Answer):
        return _trouble_of(outcome)
    if isinstance(outcome, NoAnswer) and not outcome.sent:
        return RefusedError(0, "unreachable", {"service": outcome.reason}, retry_later=True)
    return OutcomeUnknownError(outcome.reason if outcome is not None else "no answer")


def _trouble_of(answer: Answer) -> RefusedError | OutcomeUnknownError:
    body = _object(answer.body)
    retry = body.get("retry", "no" if answer.status < 500 else "unknown_outcome")
    fields = body.get("error_msg", {})
    if retry == "unknown_outcome":
        return OutcomeUnknownError(f"{answer.status} {body.get('code', '')}: {fields}")
    named = fields if isinstance(fields, Mapping) else {"error": str(fields)}
    return RefusedError(answer.status, str(body.get("code", "")), named, retry_later=retry in ("same", "later"))


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
