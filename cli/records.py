"""The form of an export: JSON, one record a line, bytes in base64, from a header to an end that counts.

For each queue: itself, its messages log by log in the order of their ids, where each log ends, its groups, their
delivery state, and that it is complete.  A reader refuses a file without its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import msgspec

from common.identifiers import MessageId
from storage_node.store.interface import DeliveryRow, GroupRow, Lane, QueueRow, RevocationRow, StoredMessage

FORMAT: Final = 1


class BadExportError(Exception):
    """The file is no whole export that this program knows; the text says where."""


class _Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="record"):
    """One line."""


class Header(_Record, frozen=True, kw_only=True, tag="queuey_export"):
    """What the file is."""

    format: int = FORMAT


class QueueRecord(_Record, frozen=True, kw_only=True, tag="queue"):
    """A queue begins."""

    row: QueueRow


class MessageRecord(_Record, frozen=True, kw_only=True, tag="message"):
    """A message of the queue, in the order of ids within its partition and lane."""

    partition: int
    lane: Lane
    message: StoredMessage


class LastRecord(_Record, frozen=True, kw_only=True, tag="last"):
    """No message will come at or below this in a fenced log."""

    partition: int
    lane: Lane
    last: MessageId


class GroupRecord(_Record, frozen=True, kw_only=True, tag="group"):
    """A consumer group of the queue."""

    row: GroupRow


class DeliveryRecord(_Record, frozen=True, kw_only=True, tag="delivery"):
    """A group's state in one partition."""

    partition: int
    group: str
    row: DeliveryRow


class QueueEnd(_Record, frozen=True, kw_only=True, tag="queue_end"):
    """The queue is complete."""

    messages: int


class Revocation(_Record, frozen=True, kw_only=True, tag="revocation"):
    """A capability link that does not count any more."""

    application: str
    row: RevocationRow


class End(_Record, frozen=True, kw_only=True, tag="end"):
    """The file is complete."""

    queues: int
    messages: int


Record: TypeAlias = (
    Header | QueueRecord | MessageRecord | LastRecord | GroupRecord | DeliveryRecord | QueueEnd | Revocation | End
)

_DECODER: Final[msgspec.json.Decoder[Record]] = msgspec.json.Decoder(Record)
_ENCODER: Final = msgspec.json.Encoder()


def encode_record(record: Record) -> bytes:
    """Return the line of a record."""
    return _ENCODER.encode(record) + b"\n"


def decode_records(lines: Iterable[bytes]) -> Iterator[tuple[Record, int]]:
    """Yield the records between header and end, each with the bytes of its line.

    Raises:
        BadExportError: a line is no record, the format is unknown, or the end is missing.
    """
    record: Record | None = None
    for number, line in enumerate(lines, 1):
        try:
            record = _DECODER.decode(line)
        except msgspec.MsgspecError as error:
            raise BadExportError(f"line {number}: {error}") from None
        if (number == 1) != isinstance(record, Header):
            raise BadExportError(f"line {number}: the header belongs there, and only there")
        if isinstance(record, Header) and record.format != FORMAT:
            raise BadExportError(f"the format is {record.format}, this program knows {FORMAT}")
        yield record, len(line)
    if not isinstance(record, End):
        raise BadExportError("the file is cut off: its end is missing")
