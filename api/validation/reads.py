"""Reads of the log: which messages, in which order, and how long to wait for them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from api.validation.problems import BadValueError, Problems, shown
from api.validation.values import int_between, ms_between, one_of, parse_instant, parse_name
from common.identifiers import MessageId, first_id_at, last_id_at
from common.limits import (
    CURSOR_BYTES_MAX,
    PARTITIONS_MAX,
    READ_LIMIT_DEFAULT,
    READ_LIMIT_MAX,
    STREAM_QUEUES_MAX,
    WAIT_MS_MAX,
)
from common.protocol.failures import Code, refuse

_LIMIT: Final = int_between(1, READ_LIMIT_MAX)
_WAIT: Final = ms_between(0, WAIT_MS_MAX)
_PARTITIONS_CHARS_MAX: Final = 6 * PARTITIONS_MAX


class Order(StrEnum):
    """Oldest or newest first."""

    ASCENDING = "ascending"
    DESCENDING = "descending"


_ORDER: Final = one_of(Order)


class Reading(NamedTuple):
    """What a client asks of a queue's log."""

    partitions: tuple[int, ...] = (1,)
    """Empty: all that the queue has."""
    since: MessageId | None = None
    after: MessageId | None = None
    until: MessageId | None = None
    cursor: bytes | None = None
    limit: int = READ_LIMIT_DEFAULT
    descending: bool = False
    wait_ms: int = 0


def parse_reading(query: Mapping[str, object]) -> Reading:
    """Return what to read.

    Raises:
        FailureError: ``invalid_request``.
    """
    problems = Problems()
    partitions = problems.read("partitions", query.get("partitions"), _partitions_or_all)
    descending = problems.read("order", query.get("order"), _ORDER) is Order.DESCENDING
    since = problems.read("since", query.get("since"), parse_instant)
    after = problems.read("after", query.get("after"), parse_instant)
    until = problems.read("until", query.get("until"), parse_instant)
    if since is not None and after is not None:
        problems.add("after", "can't be combined with since")
    reading = Reading(
        partitions=(1,) if partitions is None else partitions,
        since=_bound(since, last=descending),
        after=_bound(after, last=not descending),
        until=_bound(until, last=not descending),
        cursor=problems.read("cursor", query.get("cursor"), parse_cursor),
        limit=problems.read("limit", query.get("limit"), _LIMIT) or READ_LIMIT_DEFAULT,
        descending=descending,
        wait_ms=problems.read("wait", query.get("wait"), _WAIT) or 0,
    )
    problems.refuse_any()
    return reading


def parse_partitions(value: object) -> tuple[int, ...]:
    """Return the partitions of a comma-separated list (or a JSON list), each once, in the order asked for.

    Numbers that the queue does not have are fine: there is nothing in them, as in v1.  Those that no queue can have
    are left out, unless nothing else is asked for.

    Raises:
        BadValueError: an entry is no number, or none can be a partition.
    """
    if len(str(value)) > _PARTITIONS_CHARS_MAX:
        raise BadValueError(f"more than {PARTITIONS_MAX} partitions")
    entries = value if isinstance(value, list) else str(value).split(",")
    numbers = [_partition(entry, value) for entry in entries if entry != ""]
    possible = [number for number in numbers if 1 <= number <= PARTITIONS_MAX]
    if numbers and not possible:
        raise BadValueError(f"{numbers[0]} is not within 1 and {PARTITIONS_MAX}")
    return tuple(dict.fromkeys(possible))


def parse_cursor(value: object) -> bytes:
    """Return the bytes of a ``next`` given before.

    Raises:
        BadValueError: it is none.
    """
    text = value if isinstance(value, str) and len(value) <= CURSOR_BYTES_MAX else ""
    try:
        cursor = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        cursor = b""
    if not cursor:
        raise BadValueError(f'"{shown(value)}" is not a cursor')
    return cursor


def cursor_text(cursor: bytes) -> str:
    """Return a cursor as URL-safe text."""
    return base64.urlsafe_b64encode(cursor).rstrip(b"=").decode("ascii")


def parse_stream_queues(value: object) -> tuple[str, ...]:
    """Return the queues to follow in one stream, each once.

    Raises:
        BadValueError: an entry is no name, or there are too many.
    """
    names = str(value).split(",", STREAM_QUEUES_MAX)
    if len(names) > STREAM_QUEUES_MAX:
        raise BadValueError(f"more than {STREAM_QUEUES_MAX} queues")
    return tuple(dict.fromkeys(parse_name(name) for name in names))


def parse_stream_cursors(value: object) -> dict[str, bytes]:
    """Return queue -> cursor of the event id of a stream of several queues.

    Raises:
        BadValueError: it is none.
    """
    text = str(value)
    if len(text) > CURSOR_BYTES_MAX:
        raise BadValueError(f'"{shown(value)}" is not a cursor')
    pairs = [entry.split("*") for entry in text.split("!", STREAM_QUEUES_MAX + 1)]
    if any(len(pair) != 2 for pair in pairs):
        raise BadValueError(f'"{shown(value)}" is not a cursor')
    return {parse_name(name): parse_cursor(cursor) for name, cursor in pairs}


def stream_cursors_text(cursors: Mapping[str, bytes]) -> str:
    """Return the event id of a stream of several queues.

    Raises:
        FailureError: ``invalid_request``: it would be too long to be sent back.
    """
    text = "!".join(f"{name}*{cursor_text(cursor)}" for name, cursor in cursors.items())
    if len(text) > CURSOR_BYTES_MAX:
        raise refuse(Code.INVALID_REQUEST, "queues", "too many queues or partitions for one stream")
    return text


def _partitions_or_all(value: object) -> tuple[int, ...]:
    """``all`` is for those who may read a queue, but not its settings: they can't know how many it has."""
    return () if value == "all" else parse_partitions(value) or (1,)


def _bound(instant: int | MessageId | None, *, last: bool) -> MessageId | None:
    """Return the id that stands for an instant: the first or the last one of its time."""
    if isinstance(instant, int):
        return last_id_at(instant) if last else first_id_at(instant)
    return instant


def _partition(entry: object, value: object) -> int:
    text = entry.strip(" ") if isinstance(entry, str) else entry
    if type(text) is int or (isinstance(text, str) and text.isdecimal() and text.isascii() and len(text) < 10):
        return int(text)
    raise BadValueError(f'"{shown(value)}" is not a comma separated list of integers')
