"""Message identifiers: version-1 UUIDs, kept inside as 16 sortable bytes.

::

    byte   0 ............... 7   8 ............ 15
          | time, 100 ns ticks | clock seq | node  |
          |  since 1582-10-15  |   2 bytes | 6     |
          |  big-endian        | as in the UUID    |

Comparing the bytes compares time first, so one order holds in Python, in SQLite (BLOB) and in Cassandra (blob).
A ``timeuuid`` column would not do: Cassandra compares its low half as signed bytes.  The 32 hex digits of the
UUID itself appear only on HTTP.
"""

from __future__ import annotations

from typing import Final, NewType

MessageId = NewType("MessageId", bytes)
QueueId = NewType("QueueId", bytes)

TICKS_PER_SECOND: Final = 10_000_000
TICKS_PER_MS: Final = 10_000
UUID_EPOCH_TICKS: Final = 0x01B21DD213814000
"""Ticks between 1582-10-15 (RFC 9562, section 5.1) and 1970-01-01."""

TICKS_MAX: Final = (1 << 60) - 1
LOWEST: Final = MessageId(bytes(16))
HIGHEST: Final = MessageId(TICKS_MAX.to_bytes(8, "big") + b"\xff" * 8)

_LOW_FIRST: Final = bytes(8)
_LOW_LAST: Final = b"\xff" * 8


class BadIdentifierError(ValueError):
    """The text is not the hex form of a version-1 UUID."""


def make_id(ticks: int, low: bytes) -> MessageId:
    """Build an id from a time in UUID ticks and the 8 low bytes (clock sequence and node)."""
    return MessageId(ticks.to_bytes(8, "big") + low)


def ticks_of(message_id: bytes) -> int:
    """Return the id's time in 100 ns ticks since 1582-10-15."""
    return int.from_bytes(message_id[:8], "big")


def first_id_at(ticks: int) -> MessageId:
    """Return the lowest id of that instant; clamps to what an id can hold."""
    return MessageId(_clamp(ticks).to_bytes(8, "big") + _LOW_FIRST)


def last_id_at(ticks: int) -> MessageId:
    """Return the highest id of that instant; clamps to what an id can hold."""
    return MessageId(_clamp(ticks).to_bytes(8, "big") + _LOW_LAST)


def id_after(message_id: bytes) -> MessageId:
    """Return the lowest id that is greater than this one (saturates at the highest)."""
    number = int.from_bytes(message_id, "big") + 1
    return MessageId(number.to_bytes(16, "big")) if number < 1 << 128 else HIGHEST


def id_before(message_id: bytes) -> MessageId:
    """Return the highest id that is less than this one (saturates at the lowest)."""
    number = int.from_bytes(message_id, "big")
    return MessageId((number - 1).to_bytes(16, "big")) if number else LOWEST


def id_to_hex(message_id: bytes) -> str:
    """Return the 32 lower-case hex digits of the version-1 UUID."""
    digits = message_id.hex()
    return digits[8:16] + digits[4:8] + "1" + digits[1:4] + digits[16:]


def id_from_hex(text: str) -> MessageId:
    """Parse 32 hex digits of a version-1 UUID, any case, no dashes.

    Raises:
        BadIdentifierError: another length, other characters, another UUID version.
    """
    if len(text) != 32 or text[12] != "1" or not text.isascii() or not text.isalnum():
        raise BadIdentifierError(text[:40])
    try:
        return MessageId(bytes.fromhex("0" + text[13:16] + text[8:12] + text[:8] + text[16:]))
    except ValueError:
        raise BadIdentifierError(text[:40]) from None


def ticks_to_seconds_text(ticks: int) -> str:
    """Return Unix seconds as decimal text with up to 7 decimals, the ``timestamp`` of the v1 contract."""
    whole, part = divmod(ticks - UUID_EPOCH_TICKS, TICKS_PER_SECOND)
    return f"{whole}.{part:07d}".rstrip("0") if part else str(whole)


def timestamp_of(message_id: bytes) -> str:
    """Return the id's time as Unix seconds in decimal text."""
    return ticks_to_seconds_text(int.from_bytes(message_id[:8], "big"))


def _clamp(ticks: int) -> int:
    return min(max(ticks, 0), TICKS_MAX)
