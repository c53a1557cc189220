"""The stored form of the delivery state: versioned, delta-coded, checked on the way in.

::

    version 1 byte = 1
    epoch, base_ms                 varints; every time is milliseconds after base_ms
    writers  n, n x 8 bytes        the low halves of ids
    per lane:
      position                     16 bytes
      runs     n, n x (writer, first tick after the run before, length in ticks)
      entries  n, n x entry        ascending by id

    entry    header                stage 0-1 | same writer 2 | kept 3 | deliveries 4-7 (15: a varint follows)
             [writer]              varint, unless the same as the entry before
             tick                  varint, after the entry before
             [claim]               varint, unless settled and not kept: 0 new, 1 new with label, k+2 the k-th last one
             [token, label, time]  6 bytes, 6 bytes, varint: of a new claim

Leases of one claim share token, label and end, so they cost about six bytes each.  First deliveries that are held in
a node's memory only are left out.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from common.identifiers import TICKS_MAX, TICKS_PER_MS, MessageId, make_id, ticks_of
from storage_node.delivery.lifecycle import Stage
from storage_node.delivery.state import (
    LABEL_BYTES,
    NOBODY,
    TOKEN_BYTES,
    Entry,
    LaneState,
    Run,
    State,
    is_volatile,
    place,
)
from storage_node.store.interface import Lane

VERSION: Final = 1
_MANY: Final = 15
_SAME_WRITER: Final = 4
_KEPT: Final = 8


class BadStateError(ValueError):
    """The bytes are no delivery state of a version that this program knows."""


class _Claim(NamedTuple):
    token: bytes
    label: bytes
    until_ms: int


# --- out ------------------------------------------------------------------------------------------------------


def encode(state: State) -> bytes:
    """Return the stored form."""
    parts = [sorted(_stored(part)) for part in state.lanes]
    times = [_to_ms(entry.until_ticks) for entries in parts for _, entry in entries if _has_claim(entry)]
    base_ms = min(times, default=0)
    writers = _Writers(state, parts)
    out = bytearray([VERSION])
    _put(out, state.epoch)
    _put(out, base_ms)
    _put(out, len(writers.index))
    out += b"".join(writers.index)
    for part, entries in zip(state.lanes, parts, strict=True):
        _put_lane(out, part, entries, writers.index, base_ms)
    return bytes(out)


def _stored(part: LaneState) -> list[tuple[MessageId, Entry]]:
    return [(message_id, entry) for message_id, entry in part.entries.items() if not is_volatile(entry)]


class _Writers:
    def __init__(self, state: State, parts: list[list[tuple[MessageId, Entry]]]) -> None:
        found = {message_id[8:] for entries in parts for message_id, _ in entries}
        found.update(run.writer for part in state.lanes for run in part.runs)
        self.index = {writer: number for number, writer in enumerate(sorted(found))}


def _put_lane(
    out: bytearray, part: LaneState, entries: list[tuple[MessageId, Entry]], writers: dict[bytes, int], base_ms: int
) -> None:
    out += part.position
    _put(out, len(part.runs))
    ticks = 0
    for run in sorted(part.runs, key=lambda run: run.first_ticks):
        _put(out, writers[run.writer])
        _put(out, run.first_ticks - ticks)
        _put(out, run.last_ticks - run.first_ticks)
        ticks = run.first_ticks
    _put(out, len(entries))
    _put_entries(out, entries, writers, base_ms)


def _put_entries(
    out: bytearray, entries: list[tuple[MessageId, Entry]], writers: dict[bytes, int], base_ms: int
) -> None:
    ticks, writer = 0, b""
    claims: dict[_Claim, int] = {}
    for message_id, entry in entries:
        now_ticks, now_writer = ticks_of(message_id), message_id[8:]
        same = _SAME_WRITER if now_writer == writer else 0
        few = min(entry.deliveries, _MANY)
        out.append(entry.stage | same | (_KEPT if entry.kept else 0) | few << 4)
        if few == _MANY:
            _put(out, entry.deliveries)
        if not same:
            _put(out, writers[now_writer])
        _put(out, now_ticks - ticks)
        ticks, writer = now_ticks, now_writer
        if _has_claim(entry):
            _put_claim(out, entry, claims, base_ms)


def _put_claim(out: bytearray, entry: Entry, claims: dict[_Claim, int], base_ms: int) -> None:
    claim = _Claim(entry.token, entry.label, _to_ms(entry.until_ticks))
    number = claims.get(claim)
    if number is not None:
        _put(out, len(claims) - number + 1)
        return
    claims[claim] = len(claims)
    out.append(1 if entry.label else 0)
    out += entry.token
    out += entry.label
    _put(out, claim.until_ms - base_ms)


def _has_claim(entry: Entry) -> bool:
    return entry.stage is not Stage.SETTLED or entry.kept


def _to_ms(ticks: int) -> int:
    return -(-ticks // TICKS_PER_MS)


def _put(out: bytearray, number: int) -> None:
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


# --- in -------------------------------------------------------------------------------------------------------


def decode(data: bytes, made: set[bytes] | None = None) -> State:
    """Return the state; ``made`` holds the tokens of leases that this node made.

    Raises:
        BadStateError: the bytes are no state; nothing else is raised, whatever they are.
    """
    reader = _Reader(data)
    if reader.byte() != VERSION:
        raise BadStateError("unknown version")
    state = State(epoch=reader.number(), made=made if made is not None else set())
    base_ms = reader.number()
    writers = [reader.take(8) for _ in range(reader.count())]
    for lane in Lane:
        _read_lane(reader, state, lane, writers, base_ms)
    if reader.at != len(data):
        raise BadStateError("bytes left over")
    return state


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def byte(self) -> int:
        if self.at >= len(self.data):
            raise BadStateError("cut short")
        self.at += 1
        return self.data[self.at - 1]

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            raise BadStateError("cut short")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self) -> int:
        number = shift = 0
        while True:
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 63:
                raise BadStateError("a number is too long")
        if number > TICKS_MAX:
            raise BadStateError("a number is too large")
        return number

    def count(self) -> int:
        number = self.number()
        if number > len(self.data):
            raise BadStateError("a count is larger than the bytes")
        return number


def _read_lane(reader: _Reader, state: State, lane: Lane, writers: list[bytes], base_ms: int) -> None:
    part = state.lanes[lane]
    part.position = MessageId(reader.take(16))
    _checked(ticks_of(part.position))
    ticks = 0
    for _ in range(reader.count()):
        writer = _pick(writers, reader.number())
        ticks = _checked(ticks + reader.number())
        part.runs.append(Run(writer, ticks, _checked(ticks + reader.number())))
    _read_entries(reader, state, lane, writers, base_ms)


def _read_entries(reader: _Reader, state: State, lane: Lane, writers: list[bytes], base_ms: int) -> None:
    ticks, writer = 0, b""
    claims: list[_Claim] = []
    for _ in range(reader.count()):
        header = reader.byte()
        deliveries = header >> 4 if header >> 4 < _MANY else reader.number()
        writer = writer if header & _SAME_WRITER else _pick(writers, reader.number())
        ticks = _checked(ticks + reader.number())
        if not writer or header & 3 == 3 or deliveries < 1:
            raise BadStateError("an entry makes no sense")
        entry = _read_entry(reader, header, deliveries, claims, base_ms)
        place(state, lane, make_id(ticks, writer), entry)


def _read_entry(reader: _Reader, header: int, deliveries: int, claims: list[_Claim], base_ms: int) -> Entry:
    stage, kept = Stage(header & 3), bool(header & _KEPT)
    if stage is Stage.SETTLED and not kept:
        return Entry(stage, 0, NOBODY, deliveries)
    reference = reader.number()
    if reference > 1:
        if reference - 1 > len(claims):
            raise BadStateError("a claim that is not there")
        claim = claims[1 - reference]
    else:
        token = reader.take(TOKEN_BYTES)
        label = reader.take(LABEL_BYTES) if reference else b""
        claim = _Claim(token, label, _checked(base_ms + reader.number()))
        claims.append(claim)
    return Entry(stage, claim.until_ms * TICKS_PER_MS, claim.token, deliveries, claim.label, kept)


def _pick(writers: list[bytes], number: int) -> bytes:
    if number >= len(writers):
        raise BadStateError("a writer that is not there")
    return writers[number]


def _checked(ticks: int) -> int:
    if ticks > TICKS_MAX:
        raise BadStateError("a time is too large")
    return ticks
