"""Queues: create, change, list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from api.validation.problems import BadValueError, Problems
from api.validation.values import (
    int_between,
    ms_between,
    one_of,
    parse_flag,
    parse_int,
    parse_name,
    text_up_to,
)
from common.guarantees import Consistency, LogKind, Ordering, QueueType
from common.limits import (
    LEASE_MS_MAX,
    LEASE_MS_MIN,
    MAX_DELIVERIES_MAX,
    MAX_IN_FLIGHT_MAX,
    NAME_CHARS_MAX,
    PARTITIONS_MAX,
    PRINCIPLES_CHARS_MAX,
    TTL_S_MAX,
    TTL_S_MIN,
)
from common.principals import BadPrincipalError, parse_principals
from common.protocol.operations import QueueSettings

_PARTITIONS: Final = int_between(1, PARTITIONS_MAX)
_TTL: Final = int_between(TTL_S_MIN, TTL_S_MAX)
_DELAY: Final = ms_between(0, TTL_S_MAX * 1000)
_LEASE: Final = ms_between(LEASE_MS_MIN, LEASE_MS_MAX)
_MAX_DELIVERIES: Final = int_between(0, MAX_DELIVERIES_MAX)
_MAX_IN_FLIGHT: Final = int_between(1, MAX_IN_FLIGHT_MAX)
_TYPE: Final = one_of(QueueType)
_CONSISTENCY: Final = one_of(Consistency)
_ORDERING: Final = one_of(Ordering)
_LOG: Final = one_of(LogKind)
_PRINCIPLES_TEXT: Final = text_up_to(PRINCIPLES_CHARS_MAX)
_OFFSET: Final = text_up_to(NAME_CHARS_MAX)


class Listing(NamedTuple):
    """What a client asks of the list of queues."""

    limit: int | None
    """``None``: all."""
    offset: str | None
    details: bool
    include_count: bool


def parse_new_queue(fields: Mapping[str, object]) -> tuple[str | None, QueueSettings]:
    """Return the name (``None``: make one) and the settings that were sent.

    Raises:
        FailureError: ``invalid_request``.
    """
    problems = Problems()
    name = problems.read("queue_name", fields.get("queue_name"), parse_name)
    settings = _settings(problems, fields)
    problems.refuse_any()
    return name, settings


def parse_queue_change(fields: Mapping[str, object]) -> QueueSettings:
    """Return the settings that were sent.

    Raises:
        FailureError: ``invalid_request``.
    """
    problems = Problems()
    settings = _settings(problems, fields)
    if settings.log is not None:
        problems.add("log", "is fixed when the queue is created")
    problems.refuse_any()
    return settings


def parse_listing(query: Mapping[str, object]) -> Listing:
    """Return which queues to list, and how.

    Raises:
        FailureError: ``invalid_request``.
    """
    problems = Problems()
    limit = problems.read("limit", query.get("limit"), parse_int)
    if limit is not None and limit < 1:
        problems.add("limit", f"{limit} is less than minimum value 1")
    offset = problems.read("offset", query.get("offset"), _OFFSET)
    counted = parse_flag(query.get("include_count", "false"))
    details = counted or parse_flag(query.get("details", "false"))
    problems.refuse_any()
    return Listing(limit, offset, details, counted)


def _settings(problems: Problems, fields: Mapping[str, object]) -> QueueSettings:
    return QueueSettings(
        partitions=problems.read("partitions", fields.get("partitions"), _PARTITIONS),
        type=problems.read("type", fields.get("type"), _TYPE),
        consistency=problems.read("consistency", fields.get("consistency"), _CONSISTENCY),
        principles=problems.read("principles", fields.get("principles"), _principles),
        ttl_s=problems.read("ttl", fields.get("ttl"), _TTL),
        delay_ms=problems.read("delay", fields.get("delay"), _DELAY),
        lease_ms=problems.read("lease", fields.get("lease"), _LEASE),
        max_deliveries=problems.read("max_deliveries", fields.get("max_deliveries"), _MAX_DELIVERIES),
        dead_letter_queue=_dead_letter_queue(problems, fields),
        ordering=problems.read("ordering", fields.get("ordering"), _ORDERING),
        max_in_flight=problems.read("max_in_flight", fields.get("max_in_flight"), _MAX_IN_FLIGHT),
        log=problems.read("log", fields.get("log"), _LOG),
    )


def _dead_letter_queue(problems: Problems, fields: Mapping[str, object]) -> str | None:
    """An empty name is a value: it takes the dead-letter queue away."""
    value = fields.get("dead_letter_queue")
    return "" if value == "" else problems.read("dead_letter_queue", value, parse_name)


def _principles(value: object) -> str:
    """Return v1's comma-separated list, from a text or (in JSON) a list of texts; empty entries count for nothing."""
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        value = ",".join(value)
    entries = [entry for entry in _PRINCIPLES_TEXT(value).split(",") if entry.strip(" ")]
    try:
        parse_principals(",".join(entries))
    except BadPrincipalError as error:
        raise BadValueError(str(error)) from None
    return ",".join(entries)
