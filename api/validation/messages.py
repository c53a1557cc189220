"""Messages: publish one or a batch, overwrite by id, lists of ids."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeVar

import msgspec

from api.validation.problems import BadValueError, Problems
from api.validation.values import id_or_none, int_between, ms_between, text_up_to
from common.identifiers import MessageId
from common.limits import (
    ATTRIBUTE_NAME_CHARS_MAX,
    ATTRIBUTE_VALUE_BYTES_MAX,
    ATTRIBUTES_MAX,
    BATCH_BYTES_MAX,
    BATCH_MESSAGES_MAX,
    CONTENT_TYPE_CHARS_MAX,
    IDEMPOTENCY_KEY_CHARS_MAX,
    IDS_PER_URL_MAX,
    PARTITION_KEY_CHARS_MAX,
    PARTITIONS_MAX,
    TTL_S_MAX,
    TTL_S_MIN,
)
from common.protocol.failures import Code, FailureError, refuse
from common.protocol.operations import NewMessage

_PARTITION: Final = int_between(1, PARTITIONS_MAX)
_TTL: Final = int_between(TTL_S_MIN, TTL_S_MAX)
_DELAY: Final = ms_between(0, TTL_S_MAX * 1000)
_PARTITION_KEY: Final = text_up_to(PARTITION_KEY_CHARS_MAX)
_IDEMPOTENCY_KEY: Final = text_up_to(IDEMPOTENCY_KEY_CHARS_MAX)
_CONTENT_TYPE: Final = text_up_to(CONTENT_TYPE_CHARS_MAX)
_ATTRIBUTE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.\-]*", re.ASCII)
_ID_LIST_ITEM: Final = re.compile(r"(?:([0-9]{1,3}):)?([0-9a-fA-F]{32})", re.ASCII)

MessageIds = tuple[tuple[int, MessageId], ...]
Item = dict[str, object]
Value = TypeVar("Value")


class RawMessage(NamedTuple):
    """One message as a raw body with headers; ``None`` where a header was not sent."""

    body: bytes
    partition: str | None = None
    ttl: str | None = None
    delay: str | None = None
    partition_key: str | None = None
    idempotency_key: str | None = None
    content_type: str | None = None
    attributes: Mapping[str, str] = {}


def parse_raw_message(raw: RawMessage, body_bytes_max: int) -> NewMessage:
    """Return the message of a raw body.

    Raises:
        FailureError: ``body_too_large``, or ``invalid_request``.
    """
    problems = Problems()
    if not raw.body:
        problems.add("body", "Required")
    _refuse_large("body", raw.body, body_bytes_max)
    message = NewMessage(
        body=raw.body,
        partition=problems.read("partition", raw.partition, _PARTITION),
        partition_key=problems.read("partition_key", raw.partition_key, _PARTITION_KEY),
        ttl_s=problems.read("ttl", raw.ttl, _TTL),
        delay_ms=problems.read("delay", raw.delay, _DELAY),
        content_type=problems.read("content_type", raw.content_type, _CONTENT_TYPE),
        attributes=_attributes(problems, "attributes", raw.attributes) if raw.attributes else {},
        idempotency_key=problems.read("idempotency_key", raw.idempotency_key, _IDEMPOTENCY_KEY),
    )
    problems.refuse_any()
    return message


def parse_batch(
    content: object, body_bytes_max: int, *, idempotency_key: str | None = None
) -> tuple[NewMessage, ...]:
    """Return the messages of a JSON batch; item i without a key of its own gets ``<idempotency_key>/<i>``.

    Raises:
        FailureError: ``invalid_parameter``, ``body_too_large``, or ``invalid_request`` with keys
            ``<index>.<field>``; one bad item refuses all.
    """
    items = _items(content)
    problems = Problems()
    header_key = problems.read("idempotency_key", idempotency_key, _IDEMPOTENCY_KEY)
    batch = _Batch(problems, body_bytes_max, header_key)
    messages = tuple(batch.message(index, item) for index, item in enumerate(items))
    if sum(len(message.body) for message in messages) > BATCH_BYTES_MAX:
        raise refuse(Code.BODY_TOO_LARGE, "messages", f"larger together than maximum {BATCH_BYTES_MAX} bytes")
    problems.refuse_any()
    return messages


class Overwrite(NamedTuple):
    """What v1's PUT writes to every listed id."""

    body: bytes
    ttl_s: int | None
    content_type: str | None
    attributes: dict[str, str]


def parse_overwrite(raw: RawMessage, body_bytes_max: int) -> Overwrite:
    """Return what to write; a partition, delay or key has no meaning here and is ignored, as v1 does.

    Raises:
        FailureError: ``body_too_large``, or ``invalid_request``.
    """
    message = parse_raw_message(
        raw._replace(partition=None, delay=None, partition_key=None, idempotency_key=None), body_bytes_max
    )
    return Overwrite(message.body, message.ttl_s, message.content_type, message.attributes)


def parse_ids(text: str) -> MessageIds:
    """Return (partition, id) of a list ``[partition:]hex32,...``, each once, in order.

    32 hex digits that are no version-1 UUID name a message that can't exist; they are left out.

    Raises:
        FailureError: ``invalid_message_id``.
    """
    found = [_parse_id(item) for item in _split_ids(text)]
    return tuple(dict.fromkeys((partition, message_id) for partition, message_id in found if message_id))


def parse_ids_to_write(text: str) -> MessageIds:
    """Return the ids of a list, every one of which must be able to exist.

    Raises:
        FailureError: ``invalid_message_id``.
    """
    ids = parse_ids(text)
    for item in _split_ids(text):
        if _parse_id(item)[1] is None:
            raise _bad_id(item, "is not a version-1 UUID")
    return ids


class _Batch:
    """Reads the items of one batch; their problems go under ``<index>.<field>``."""

    def __init__(self, problems: Problems, body_bytes_max: int, idempotency_key: str | None) -> None:
        self._problems = problems
        self._body_bytes_max = body_bytes_max
        self._idempotency_key = idempotency_key

    def message(self, index: int, item: object) -> NewMessage:
        """Return the item's message (an empty one where it is wrong)."""
        if not isinstance(item, dict):
            self._problems.add(str(index), "is not an object")
            return NewMessage(body=b"")
        body = self._body(index, item)
        key = f"{self._idempotency_key}/{index}" if self._idempotency_key else None
        if len(item) == 1:
            return NewMessage(body=body, idempotency_key=key)
        return NewMessage(
            body=body,
            partition=self._read(index, "partition", item, _PARTITION),
            partition_key=self._read(index, "partition_key", item, _PARTITION_KEY),
            ttl_s=self._read(index, "ttl", item, _TTL),
            delay_ms=self._read(index, "delay", item, _DELAY),
            content_type=self._read(index, "content_type", item, _CONTENT_TYPE),
            attributes=_attributes(self._problems, f"{index}.attributes", item.get("attributes") or {}),
            idempotency_key=self._read(index, "idempotency_key", item, _IDEMPOTENCY_KEY) or key,
        )

    def _read(self, index: int, field: str, item: Item, parse: Callable[[object], Value]) -> Value | None:
        value = item.get(field)
        return None if value is None else self._problems.read(f"{index}.{field}", value, parse)

    def _body(self, index: int, item: Item) -> bytes:
        value = item.get("body")
        if not value:
            self._problems.add(f"{index}.body", "Required")
            return b""
        field = f"{index}.encoding"
        encoding = item.get("encoding")
        if encoding == "base64":
            body = self._problems.require(f"{index}.body", value, _from_base64) or b""
        else:
            body = value.encode() if isinstance(value, str) else msgspec.json.encode(value)
            if encoding:
                self._problems.add(field, 'only "base64" is known')
        _refuse_large(f"{index}.body", body, self._body_bytes_max)
        return body


def _items(content: object) -> list[object]:
    """Return the items of ``{"messages": [...]}``."""
    items = content.get("messages") if isinstance(content, dict) else None
    if not isinstance(items, list):
        raise refuse(Code.INVALID_PARAMETER, "InvalidParameter", "the body is no JSON object with a list of messages")
    if len(items) > BATCH_MESSAGES_MAX:
        text = f"{len(items)} is greater than maximum value {BATCH_MESSAGES_MAX}"
        raise refuse(Code.BODY_TOO_LARGE, "messages", text)
    return items


def _refuse_large(field: str, body: bytes, body_bytes_max: int) -> None:
    if len(body) > body_bytes_max:
        raise refuse(Code.BODY_TOO_LARGE, field, f"larger than maximum {body_bytes_max} bytes")


def _from_base64(value: object) -> bytes:
    if not isinstance(value, str):
        raise BadValueError("is not base64")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise BadValueError("is not base64") from None


def _attributes(problems: Problems, field: str, value: object) -> dict[str, str]:
    """Return the attributes that are right; what is wrong goes under ``<field>.<name>``."""
    if not isinstance(value, Mapping):
        problems.add(field, "is not an object")
        return {}
    if len(value) > ATTRIBUTES_MAX:
        problems.add(field, f"{len(value)} is greater than maximum value {ATTRIBUTES_MAX}")
        return {}
    return {name: _attribute(problems, field, name, text) for name, text in value.items()}


def _attribute(problems: Problems, field: str, name: str, text: object) -> str:
    if len(name) > ATTRIBUTE_NAME_CHARS_MAX or not _ATTRIBUTE_NAME.fullmatch(name):
        problems.add(
            f"{field}.{name[:ATTRIBUTE_NAME_CHARS_MAX]}",
            f"a name has 1 to {ATTRIBUTE_NAME_CHARS_MAX} lower-case letters, digits and _ - .",
        )
    if not isinstance(text, str):
        problems.add(f"{field}.{name[:ATTRIBUTE_NAME_CHARS_MAX]}", "is not a string")
        return ""
    if len(text.encode()) > ATTRIBUTE_VALUE_BYTES_MAX:
        problems.add(f"{field}.{name}", f"longer than maximum {ATTRIBUTE_VALUE_BYTES_MAX} bytes")
    return text


def _split_ids(text: str) -> list[str]:
    items = text.split(",", IDS_PER_URL_MAX + 1)
    if len(items) > IDS_PER_URL_MAX:
        raise refuse(Code.INVALID_MESSAGE_ID, "InvalidMessageID", f"more than {IDS_PER_URL_MAX} ids")
    return items


def _parse_id(item: str) -> tuple[int, MessageId | None]:
    found = _ID_LIST_ITEM.fullmatch(item.strip(" "))
    if found is None:
        raise _bad_id(item, "is not [partition:]32 hex digits")
    partition = int(found[1] or 1)
    if not 1 <= partition <= PARTITIONS_MAX:
        raise _bad_id(item, f"names no partition from 1 to {PARTITIONS_MAX}")
    return partition, id_or_none(found[2])


def _bad_id(item: str, reason: str) -> FailureError:
    return refuse(Code.INVALID_MESSAGE_ID, "InvalidMessageID", f'"{item[:50]}" {reason}')
