"""Any bytes decode to a value or raise the one named error, and neighbouring versions understand each other."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.limits import FRAME_BYTES_MAX
from common.protocol.codec import (
    MalformedFrameError,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
    type_answer,
)
from common.protocol.envelope import Answer, Request
from common.protocol.failures import Failure
from common.protocol.operations import OPERATIONS, Operation
from tests.support.protocol_samples import OPERATION_SAMPLES, REPLY_SAMPLES

FRAMES = [
    encode_request(Request(request_id=7, operation=op, sent_ms=1, budget_ms=2)) for op in OPERATION_SAMPLES.values()
]
FRAMES += [encode_answer(7, reply) for reply in REPLY_SAMPLES.values()]
REPLIES = sorted({kind.Reply for kind in OPERATIONS.values()}, key=lambda kind: kind.__name__)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=20)
)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=6) | st.dictionaries(scalars.filter(lambda key: key == key), inner, max_size=3)
    ),
    max_leaves=12,
)


def decode_everything(frame: bytes) -> None:
    """Decode as request and as answer to every operation; only the named error may come out."""
    with suppress(MalformedFrameError):
        assert isinstance(decode_request(frame), Request)
    answer: Answer | None = None
    with suppress(MalformedFrameError):
        answer = decode_answer(frame)
    if answer is None:
        return
    for reply in REPLIES:
        with suppress(MalformedFrameError):
            assert isinstance(type_answer(answer, reply), (reply, Failure))


@given(st.binary(max_size=300))
def test_any_bytes_decode_or_raise_the_named_error(frame: bytes) -> None:
    """Plain noise."""
    decode_everything(frame)


@given(st.sampled_from(FRAMES), st.data())
def test_damaged_frames_decode_or_raise_the_named_error(frame: bytes, data: st.DataObject) -> None:
    """Good frames with bytes changed, cut and inserted."""
    damaged = bytearray(frame)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged)))
        damaged[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    decode_everything(bytes(damaged))


@given(st.sampled_from(sorted(OPERATIONS)), st.lists(trees, max_size=12), st.booleans())
def test_any_fields_decode_or_raise_the_named_error(name: str, fields: list[object], ok: bool) -> None:
    """Good envelopes with anything inside."""
    decode_everything(msgpack.packb([1, 7, name, 1, 2, "", "", fields]))
    decode_everything(msgpack.packb([1, 7, ok, fields]))


@pytest.mark.parametrize(
    "frame", [b"\x91" * 5_000, b"\x91" * 200_000, b"\x81\x01" * 100_000, bytes(FRAME_BYTES_MAX + 1)]
)
def test_deep_and_large_frames_raise_the_named_error(frame: bytes) -> None:
    """Nesting and size are bounded."""
    decode_everything(frame)
    with pytest.raises(MalformedFrameError):
        decode_request(frame)


def test_a_frame_that_no_peer_would_take_is_not_made() -> None:
    """The sender learns it, not the receiver."""
    operation = msgspec.structs.replace(OPERATION_SAMPLES["put_messages"], body=bytes(FRAME_BYTES_MAX))
    with pytest.raises(MalformedFrameError):
        encode_request(Request(request_id=7, operation=operation, sent_ms=1, budget_ms=2))


@pytest.mark.parametrize("name", OPERATION_SAMPLES)
def test_what_a_newer_version_adds_is_ignored(name: str) -> None:
    """Unknown fields at the end of the operation and of the frame."""
    sample = OPERATION_SAMPLES[name]
    items = msgpack.unpackb(encode_request(Request(request_id=7, operation=sample, sent_ms=1, budget_ms=2)))
    items[7] += ["new", {"more": [1]}]
    decoded = decode_request(msgpack.packb([*items, "newer", None]))
    assert decoded.operation == sample


@pytest.mark.parametrize("name", REPLY_SAMPLES)
def test_what_a_newer_node_adds_is_ignored(name: str) -> None:
    """Unknown fields at the end of the reply and of the frame."""
    sample = REPLY_SAMPLES[name]
    items = msgpack.unpackb(encode_answer(7, sample), strict_map_key=False)
    items[3] += ["new"]
    assert type_answer(decode_answer(msgpack.packb([*items, "newer"])), type(sample)) == sample


@pytest.mark.parametrize("name", [*OPERATION_SAMPLES, *REPLY_SAMPLES])
def test_what_an_older_version_leaves_out_is_filled_in(name: str) -> None:
    """Fields with a default may be missing at the end; the first one without a default is needed."""
    sample: Any = OPERATION_SAMPLES.get(name) or REPLY_SAMPLES[name]
    fields = msgspec.structs.fields(sample)
    optional = 0
    for field in reversed(fields):
        if field.required:
            break
        optional += 1
    values = msgspec.to_builtins(sample, builtin_types=(bytes,))
    for missing in range(1, optional + 1):
        filled = _decode(name, type(sample), values[: len(values) - missing])
        for field in fields[len(fields) - missing :]:
            assert getattr(filled, field.name) == msgspec.structs.asdict(_default(sample, field.name))[field.name]
    if optional < len(fields):
        with pytest.raises(MalformedFrameError):
            _decode(name, type(sample), values[: len(values) - optional - 1])


def _default(sample: Any, name: str) -> Any:
    field = next(field for field in msgspec.structs.fields(sample) if field.name == name)
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return msgspec.structs.replace(sample, **{name: value})


def _decode(name: str, kind: type[msgspec.Struct], values: list[object]) -> msgspec.Struct:
    if issubclass(kind, Operation):
        return decode_request(msgpack.packb([1, 7, name, 1, 2, "", "", values])).operation
    ok = kind is not Failure
    return type_answer(decode_answer(msgpack.packb([1, 7, ok, values])), kind)
