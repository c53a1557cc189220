"""Bytes of a request's body -> JSON values, or a refusal; nothing else comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from common.protocol.failures import Code, refuse

_DECODER: Final = msgspec.json.Decoder()


def parse_json(body: bytes) -> object:
    """Decode JSON; nesting is bounded by the decoder's own stack (about 1,000 levels).

    Raises:
        FailureError: ``invalid_parameter``.
    """
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise refuse(Code.INVALID_PARAMETER, "InvalidParameter", "the body is not JSON") from None
    except RecursionError:
        raise refuse(Code.INVALID_PARAMETER, "InvalidParameter", "the body's JSON is nested too deeply") from None


def parse_object(body: bytes) -> Mapping[str, object]:
    """Decode a JSON object; an empty body is an empty one.

    Raises:
        FailureError: ``invalid_parameter``.
    """
    content = parse_json(body) if body else {}
    if not isinstance(content, dict):
        raise refuse(Code.INVALID_PARAMETER, "InvalidParameter", "the body is not a JSON object")
    return content
