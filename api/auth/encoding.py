"""Strict base64url without padding: one text for one value, nothing skipped."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

_ALPHABET: Final = re.compile(r"[A-Za-z0-9_\-]*", re.ASCII)


class BadEncodingError(ValueError):
    """The text is not unpadded base64url."""


def encode(value: bytes) -> str:
    """Return unpadded base64url."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Decode unpadded base64url.

    Raises:
        BadEncodingError: padding, foreign characters, an impossible length, or stray bits at the end.
    """
    if not _ALPHABET.fullmatch(text):
        raise BadEncodingError("characters outside base64url")
    try:
        value = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise BadEncodingError("impossible length") from None
    if encode(value) != text:
        raise BadEncodingError("stray bits at the end")
    return value
