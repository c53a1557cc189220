"""The cursor of a paged or followed read: opaque to clients, one place per partition inside.

::

    byte 0: version and direction | byte 1: number n of low halves | n x 8 bytes | places ...
    a place: partition (1) | flags (1) | resume ticks (8) | resume low (1) [| seen ticks (8) | seen low (1)]

``resume`` is where the next read begins, exclusive: never beyond what is complete.  ``seen`` is the last message
handed out, where that is later: what lies between may come again, and something new may still appear there.
Low halves 0 and 255 stand for all zeros and all ones; the others are in the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from common.identifiers import MessageId
from common.limits import CURSOR_BYTES_MAX, PARTITIONS_MAX

RAW_BYTES_MAX: Final = CURSOR_BYTES_MAX * 3 // 4 - 1
"""In URL-safe text it is a third longer."""
VERSION: Final = 1
TABLE_MAX: Final = 253
_DESCENDING: Final = 0x80
_HAS_SEEN: Final = 1
_ZEROS: Final = bytes(8)
_ONES: Final = b"\xff" * 8


class Place(NamedTuple):
    """Where a reader is in one partition."""

    resume: MessageId
    seen: MessageId


class Cursor(NamedTuple):
    """Where a reader is."""

    places: dict[int, Place]
    """Partition -> place, in the order of reading."""
    descending: bool = False


class BadCursorError(ValueError):
    """These bytes are no cursor."""


def encode_cursor(places: Mapping[int, Place], *, descending: bool = False) -> bytes:
    """Return the bytes, at most ``RAW_BYTES_MAX``; where that is too little, a resume may repeat more."""
    full = _encode(places, descending)
    if len(full) <= RAW_BYTES_MAX:
        return full
    rough = {
        partition: Place(_rounded(place.resume, descending), _rounded(place.resume, descending))
        for partition, place in places.items()
    }
    return _encode(rough, descending)


def decode_cursor(data: bytes) -> Cursor:
    """Read a cursor.

    Raises:
        BadCursorError: it was not made by ``encode_cursor``.
    """
    try:
        return _decode(data)
    except (IndexError, ValueError) as error:
        raise BadCursorError("not a cursor of this service") from error


def _rounded(message_id: MessageId, descending: bool) -> MessageId:
    """Forget the low half, towards repeating."""
    return MessageId(message_id[:8] + (_ONES if descending else _ZEROS))


class _Lows:
    """The table of low halves while it is written."""

    def __init__(self) -> None:
        self.table: dict[bytes, int] = {}

    def index(self, low: bytes) -> int:
        if low == _ZEROS:
            return 0
        if low == _ONES:
            return 255
        return self.table.setdefault(low, min(len(self.table) + 1, TABLE_MAX + 1))


def _encode(places: Mapping[int, Place], descending: bool) -> bytes:
    lows = _Lows()
    body = bytearray()
    for partition, (resume, seen) in places.items():
        has_seen = seen != resume
        body += bytes((partition, _HAS_SEEN if has_seen else 0))
        for message_id in (resume, seen) if has_seen else (resume,):
            body += message_id[:8] + bytes((lows.index(message_id[8:]),))
    if len(lows.table) > TABLE_MAX:
        return bytes(RAW_BYTES_MAX + 1)
    head = bytes((VERSION | (_DESCENDING if descending else 0), len(lows.table)))
    return head + b"".join(lows.table) + bytes(body)


def _decode(data: bytes) -> Cursor:
    head, count = data[0], data[1]
    if head & ~_DESCENDING != VERSION or len(data) > RAW_BYTES_MAX:
        raise ValueError("version or length")
    lows: Sequence[bytes] = [_ZEROS, *(data[at : at + 8] for at in range(2, 2 + 8 * count, 8))]
    places: dict[int, Place] = {}
    at = 2 + 8 * count
    while at < len(data):
        partition, flags = data[at], data[at + 1]
        if not 1 <= partition <= PARTITIONS_MAX or partition in places or flags > 1:
            raise ValueError("partition")
        resume = seen = _id_at(data, at + 2, lows)
        at += 11
        if flags & _HAS_SEEN:
            seen = _id_at(data, at, lows)
            at += 9
        places[partition] = Place(resume, seen)
    if not places:
        raise ValueError("no partition")
    return Cursor(places, bool(head & _DESCENDING))


def _id_at(data: bytes, at: int, lows: Sequence[bytes]) -> MessageId:
    index = data[at + 8]
    low = _ONES if index == 255 else lows[index]
    if len(low) != 8 or len(data) < at + 9:
        raise ValueError("cut off")
    return MessageId(data[at : at + 8] + low)
