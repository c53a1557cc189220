"""Frames to values and back; the only module that knows msgpack.

Promise: any bytes decode to a value or raise ``MalformedFrameError``, nothing else.  No text, bytes or array inside
a frame may claim to be larger than the frame itself or the limits.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgpack
import msgspec

from common.limits import FRAME_BYTES_MAX, FRAME_ITEMS_MAX
from common.protocol.envelope import PROTOCOL_VERSION, REQUEST_ID_MAX, Answer, Request
from common.protocol.failures import Failure
from common.protocol.operations import OPERATIONS, Operation

ReplyT = TypeVar("ReplyT", bound=msgspec.Struct)

_NAME_OF: Final[dict[type[Operation], str]] = {kind: name for name, kind in OPERATIONS.items()}
_REQUEST_ITEMS: Final = 8
_ANSWER_ITEMS: Final = 4
_encode: Final = msgspec.msgpack.Encoder().encode


class MalformedFrameError(Exception):
    """The bytes are no frame of this protocol; ``request_id`` is set where that much could be read."""

    def __init__(self, reason: str, request_id: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.request_id = request_id


def operation_name(operation: Operation) -> str:
    """Return the name that an operation travels under."""
    return _NAME_OF[type(operation)]


def encode_request(request: Request) -> bytes:
    """Return the frame of a request.

    Raises:
        MalformedFrameError: the frame would be larger than any node accepts.
    """
    operation = request.operation
    return _pack(
        (
            PROTOCOL_VERSION,
            request.request_id,
            _NAME_OF[type(operation)],
            request.sent_ms,
            request.budget_ms,
            request.log_id,
            request.traceparent,
            operation,
        )
    )


def decode_request(frame: bytes) -> Request:
    """Return the request in a frame.

    Raises:
        MalformedFrameError: whatever else the bytes are.
    """
    items = _unpack(frame)
    request_id = _request_id(items, _REQUEST_ITEMS)
    _, _, name, sent_ms, budget_ms, log_id, traceparent, body = items[:_REQUEST_ITEMS]
    kind = OPERATIONS.get(name) if type(name) is str else None
    if kind is None:
        raise MalformedFrameError("unknown operation", request_id)
    if type(sent_ms) is not int or type(budget_ms) is not int:
        raise MalformedFrameError("time is no integer", request_id)
    if type(log_id) is not str or type(traceparent) is not str:
        raise MalformedFrameError("identifier for logs is no text", request_id)
    return Request(
        request_id=request_id,
        operation=_typed(body, kind, request_id),
        sent_ms=sent_ms,
        budget_ms=budget_ms,
        log_id=log_id,
        traceparent=traceparent,
    )


def encode_answer(request_id: int, result: msgspec.Struct) -> bytes:
    """Return the frame that answers a request with a reply or a ``Failure``.

    Raises:
        MalformedFrameError: the frame would be larger than any front end accepts.
    """
    ok = type(result) is not Failure
    return _pack((PROTOCOL_VERSION, request_id, ok, result))


def decode_answer(frame: bytes) -> Answer:
    """Return the answer in a frame; ``type_answer`` gives its payload a type.

    Raises:
        MalformedFrameError: whatever else the bytes are.
    """
    items = _unpack(frame)
    request_id = _request_id(items, _ANSWER_ITEMS)
    if type(items[2]) is not bool:
        raise MalformedFrameError("neither good nor failed", request_id)
    return Answer(request_id, items[2], items[3])


def type_answer(answer: Answer, reply: type[ReplyT]) -> ReplyT | Failure:
    """Return the payload as the reply type of the operation that was asked, or as a failure.

    Raises:
        MalformedFrameError: the payload is neither.
    """
    if answer.ok:
        return _typed(answer.payload, reply, answer.request_id)
    return _typed(answer.payload, Failure, answer.request_id)


def _pack(items: tuple[object, ...]) -> bytes:
    frame = _encode(items)
    if len(frame) > FRAME_BYTES_MAX:
        raise MalformedFrameError(f"{len(frame)} bytes are more than a frame may have")
    return frame


def _unpack(frame: bytes) -> list[object]:
    size = len(frame)
    if size > FRAME_BYTES_MAX:
        raise MalformedFrameError("more bytes than a frame may have")
    items_max = min(size, FRAME_ITEMS_MAX)
    try:
        items: object = msgpack.unpackb(
            frame,
            strict_map_key=False,  # partition numbers are keys
            max_str_len=size,
            max_bin_len=size,
            max_array_len=items_max,
            max_map_len=items_max,
            max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise MalformedFrameError(f"no msgpack: {type(error).__name__}") from error
    if type(items) is not list:
        raise MalformedFrameError("no array")
    return items


def _request_id(items: list[object], length: int) -> int:
    request_id = items[1] if len(items) > 1 else None
    if type(request_id) is not int or not 0 <= request_id <= REQUEST_ID_MAX:
        raise MalformedFrameError("no request id")
    if items[0] != PROTOCOL_VERSION or type(items[0]) is not int:
        raise MalformedFrameError("another protocol version", request_id)
    if len(items) < length:
        raise MalformedFrameError("elements are missing", request_id)
    return request_id


def _typed(payload: object, kind: type[ReplyT], request_id: int) -> ReplyT:
    if type(payload) is not list:
        raise MalformedFrameError("payload is no array", request_id)
    try:
        return msgspec.convert(payload, kind)
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        raise MalformedFrameError(f"payload: {error}", request_id) from error
