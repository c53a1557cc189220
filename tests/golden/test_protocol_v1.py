"""The bytes of protocol version 1: a change here is a change of the protocol, and needs a version of its own.

``protocol/v1/requests`` and ``answers`` hold one frame per operation and reply as hex; ``bad`` holds frames that must
be refused, each beside the reason.  ``python -m tests.golden.test_protocol_v1`` writes what is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgpack
import pytest

from common.protocol.codec import (
    MalformedFrameError,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
    type_answer,
)
from common.protocol.envelope import Request
from common.protocol.operations import OPERATIONS
from tests.support.protocol_samples import OPERATION_SAMPLES, REPLY_SAMPLES

FOLDER: Final = Path(__file__).parent / "protocol" / "v1"
BAD: Final = {path.stem: path for path in sorted((FOLDER / "bad").glob("*.hex"))}


def _request(name: str) -> Request:
    return Request(
        request_id=7,
        operation=OPERATION_SAMPLES[name],
        sent_ms=123_456_789,
        budget_ms=10_000,
        log_id="r-1",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )


def _golden(kind: str, name: str) -> bytes:
    return bytes.fromhex((FOLDER / kind / f"{name}.hex").read_text())


@pytest.mark.parametrize("name", OPERATION_SAMPLES)
def test_a_request_has_the_pinned_bytes(name: str) -> None:
    """Every operation, both ways."""
    golden = _golden("requests", name)
    assert encode_request(_request(name)) == golden
    assert decode_request(golden) == _request(name)


@pytest.mark.parametrize("name", REPLY_SAMPLES)
def test_an_answer_has_the_pinned_bytes(name: str) -> None:
    """Every reply, and a failure, both ways."""
    golden, sample = _golden("answers", name), REPLY_SAMPLES[name]
    assert encode_answer(7, sample) == golden
    assert type_answer(decode_answer(golden), type(sample)) == sample


def test_every_operation_and_reply_is_pinned() -> None:
    """A new one needs a sample and a golden file."""
    assert OPERATION_SAMPLES.keys() == OPERATIONS.keys()
    assert {kind.Reply for kind in OPERATIONS.values()} <= {type(sample) for sample in REPLY_SAMPLES.values()}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_frame_is_refused_for_the_stated_reason(name: str) -> None:
    """The first line is the frame, the second how the reason begins."""
    frame, reason = BAD[name].read_text().splitlines()
    with pytest.raises(MalformedFrameError) as caught:
        decode_request(bytes.fromhex(frame))
    assert caught.value.reason.startswith(reason)


def test_there_are_bad_frames() -> None:
    """The folder was found."""
    assert len(BAD) >= 10


def _write_missing() -> None:
    items = msgpack.unpackb(encode_request(_request("ping")))
    bad: dict[str, tuple[bytes, str]] = {
        "empty": (b"", "no msgpack"),
        "not_msgpack": (b"\xc1", "no msgpack"),
        "cut_off": (encode_request(_request("claim"))[:-1], "no msgpack"),
        "trailing_bytes": (encode_request(_request("ping")) + b"\xc0", "no msgpack"),
        "claims_four_billion_elements": (b"\xdd\xff\xff\xff\xff", "no msgpack"),
        "claims_four_gigabytes": (b"\x91\xc6\xff\xff\xff\xff", "no msgpack"),
        "extension_type": (b"\xd4\x05\x00", "no msgpack"),
        "unhashable_key": (b"\x81\x90\xc0", "no msgpack"),
        "bad_utf8": (b"\x91\xa1\xff", "no msgpack"),
        "map": (b"\x80", "no array"),
        "number": (b"\x07", "no array"),
        "empty_array": (b"\x90", "no request id"),
        "negative_request_id": (msgpack.packb([1, -1]), "no request id"),
        "boolean_request_id": (msgpack.packb([1, True]), "no request id"),
        "other_version": (msgpack.packb([2, *items[1:]]), "another protocol version"),
        "boolean_version": (msgpack.packb([True, *items[1:]]), "another protocol version"),
        "short": (msgpack.packb(items[:-1]), "elements are missing"),
        "unknown_operation": (msgpack.packb([*items[:2], "drop_all", *items[3:]]), "unknown operation"),
        "operation_is_no_text": (msgpack.packb([*items[:2], [], *items[3:]]), "unknown operation"),
        "sent_is_no_integer": (msgpack.packb([*items[:3], 1.5, *items[4:]]), "time is no integer"),
        "log_id_is_no_text": (msgpack.packb([*items[:5], 1, *items[6:]]), "identifier for logs is no text"),
        "body_is_no_array": (msgpack.packb([*items[:7], {}]), "payload is no array"),
        "field_of_another_type": (msgpack.packb([*items[:7], ["yes"]]), "payload: Expected `bool`"),
        "field_is_missing": (msgpack.packb([*items[:2], "cancel", *items[3:7], []]), "payload: Expected `array`"),
    }
    files = {f"requests/{name}": encode_request(_request(name)).hex() for name in OPERATION_SAMPLES}
    files |= {f"answers/{name}": encode_answer(7, sample).hex() for name, sample in REPLY_SAMPLES.items()}
    files |= {f"bad/{name}": f"{frame.hex()}\n{reason}" for name, (frame, reason) in bad.items()}
    for name, text in files.items():
        path = FOLDER / f"{name}.hex"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(text + "\n")


if __name__ == "__main__":
    _write_missing()
