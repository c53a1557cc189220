"""UUID ticks as Cassandra needs them: seconds of a TTL, microseconds of a time stamp."""

from __future__ import annotations

from typing import Final

from common.identifiers import TICKS_PER_SECOND, UUID_EPOCH_TICKS
from common.limits import BUCKET_SPAN_MS, TTL_S_MAX

TTL_S_CEILING: Final = 20 * 365 * 86_400
"""The longest TTL that Cassandra takes."""
TTL_S_FLOOR: Final = 60
"""What is written is kept at least this long; whether it is shown is judged by its own time."""
TTL_MARGIN_S: Final = 10
"""A row outlives its time by this: what is shown is decided by the reader's clock, not by the server's."""

LIFETIME_S: Final = (3_600, 7 * 86_400, TTL_S_MAX)
"""What a message of each table is kept for, at the most that its queue's default allows."""
SLACK_TICKS: Final = 3_600 * TICKS_PER_SECOND
SPAN_TICKS: Final = BUCKET_SPAN_MS // 1_000 * TICKS_PER_SECOND
_TICKS_PER_US: Final = 10


def ttl_until(until_ticks: int, now_ticks: int) -> int:
    """Return the TTL of a row that must be there until then."""
    seconds = -((now_ticks - until_ticks) // TICKS_PER_SECOND) + TTL_MARGIN_S
    return min(max(seconds, TTL_S_FLOOR), TTL_S_CEILING)


def kept_until(lifetime: int, bucket: int, now_ticks: int) -> int:
    """Return until when a bucket's fence and index row must stand that was written to just now."""
    return max(now_ticks, bucket) + SPAN_TICKS + LIFETIME_S[lifetime] * TICKS_PER_SECOND + SLACK_TICKS


def surely_kept_until(lifetime: int, bucket: int) -> int:
    """Return until when the index row of any bucket of this beginning stands, whoever wrote it."""
    return bucket + SPAN_TICKS + LIFETIME_S[lifetime] * TICKS_PER_SECOND


def micros_of(ticks: int) -> int:
    """Return Unix microseconds, rounded up: a later time is a later stamp."""
    return -((UUID_EPOCH_TICKS - ticks) // _TICKS_PER_US)


def ticks_of_micros(micros: int) -> int:
    """Return UUID ticks of Unix microseconds."""
    return micros * _TICKS_PER_US + UUID_EPOCH_TICKS
