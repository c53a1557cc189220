"""Claims, settlements, groups, redrive: the JSON bodies of the delivery calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from api.validation.problems import BadValueError, Problems
from api.validation.reads import parse_partitions
from api.validation.values import int_between, ms_between, parse_instant, parse_name, text_up_to
from common.identifiers import ticks_of
from common.limits import (
    CLAIM_ID_CHARS_MAX,
    CLAIM_LIMIT_DEFAULT,
    CLAIM_LIMIT_MAX,
    LEASE_MS_MAX,
    LEASE_MS_MIN,
    PARTITIONS_MAX,
    REDRIVE_LIMIT_MAX,
    TTL_S_MAX,
    WAIT_MS_MAX,
)

GROUP_DEFAULT: Final = "default"
"""The group of a claim that names none."""

_LIMIT: Final = int_between(1, CLAIM_LIMIT_MAX)
_REDRIVE_LIMIT: Final = int_between(1, REDRIVE_LIMIT_MAX)
_LEASE: Final = ms_between(LEASE_MS_MIN, LEASE_MS_MAX)
_WAIT: Final = ms_between(0, WAIT_MS_MAX)
_DELAY: Final = ms_between(0, TTL_S_MAX * 1000)
_CLAIM_ID: Final = text_up_to(CLAIM_ID_CHARS_MAX)
_PARTITION: Final = int_between(1, PARTITIONS_MAX)


class Claiming(NamedTuple):
    """What a consumer asks for."""

    group: str = GROUP_DEFAULT
    limit: int = CLAIM_LIMIT_DEFAULT
    lease_ms: int | None = None
    wait_ms: int = 0
    partitions: tuple[int, ...] = ()
    claim_id: str | None = None
    ack: tuple[str, ...] = ()


class Settling(NamedTuple):
    """Receipts, and what a release or an extension says of them."""

    receipts: tuple[str, ...]
    delay_ms: int = 0
    lease_ms: int | None = None


class Seeking(NamedTuple):
    """Where to move a group."""

    position: str
    """``start``, ``end`` or ``at``."""
    at_ticks: int | None = None


def parse_claiming(fields: Mapping[str, object]) -> Claiming:
    """Return what to claim, and what to ack before.

    Raises:
        FailureError: ``invalid_request``.
    """
    if not fields:
        return Claiming()
    problems = Problems()
    claiming = Claiming(
        group=problems.read("group", fields.get("group"), parse_name) or GROUP_DEFAULT,
        limit=problems.read("limit", fields.get("limit"), _LIMIT) or CLAIM_LIMIT_DEFAULT,
        lease_ms=problems.read("lease", fields.get("lease"), _LEASE),
        wait_ms=problems.read("wait", fields.get("wait"), _WAIT) or 0,
        partitions=problems.read("partitions", fields.get("partitions"), _claim_partitions) or (),
        claim_id=problems.read("claim_id", fields.get("claim_id"), _CLAIM_ID),
        ack=problems.read("ack", fields.get("ack"), _receipts) or (),
    )
    problems.refuse_any()
    return claiming


def parse_settling(fields: Mapping[str, object]) -> Settling:
    """Return receipts with an optional ``delay`` and ``lease``.

    Raises:
        FailureError: ``invalid_request``.
    """
    problems = Problems()
    if fields.get("receipts") is None:
        problems.add("receipts", "Required")
    settling = Settling(
        receipts=problems.read("receipts", fields.get("receipts"), _receipts) or (),
        delay_ms=problems.read("delay", fields.get("delay"), _DELAY) or 0,
        lease_ms=problems.read("lease", fields.get("lease"), _LEASE),
    )
    problems.refuse_any()
    return settling


def parse_seeking(group: str, fields: Mapping[str, object]) -> Seeking:
    """Return where to move the group that the URL names.

    Raises:
        FailureError: ``invalid_request``.
    """
    problems = Problems()
    problems.require("group", group, parse_name)
    position = fields.get("position")
    if position is None or position == "":
        problems.add("position", "Required")
    seeking = problems.read("position", position, _position) or Seeking("start")
    problems.refuse_any()
    return seeking


def parse_redrive(fields: Mapping[str, object]) -> int | None:
    """Return how many dead letters to move, ``None`` for all.

    Raises:
        FailureError: ``invalid_request``.
    """
    problems = Problems()
    limit = problems.read("limit", fields.get("limit"), _REDRIVE_LIMIT)
    problems.refuse_any()
    return limit


def _position(value: object) -> Seeking:
    if isinstance(value, str) and value in {"start", "end"}:
        return Seeking(value)
    instant = parse_instant(value)
    return Seeking("at", instant if isinstance(instant, int) else ticks_of(instant))


def _receipts(value: object) -> tuple[str, ...]:
    """Receipts stay texts here: whether one is good is the node's to say, after the guarantee was looked at."""
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise BadValueError("is not a list of strings")
    if len(value) > CLAIM_LIMIT_MAX:
        raise BadValueError(f"{len(value)} is greater than maximum value {CLAIM_LIMIT_MAX}")
    return tuple(value)


def _claim_partitions(value: object) -> tuple[int, ...]:
    numbers = parse_partitions(value)
    for number in numbers:
        _PARTITION(number)
    return numbers
