"""Capability links: their revocation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from api.validation.problems import Problems
from api.validation.values import int_between, text_up_to
from common.limits import LINK_ID_CHARS_MAX, LINK_LIFETIME_S_MAX

_LINK_ID: Final = text_up_to(LINK_ID_CHARS_MAX)
_EPOCH: Final = int_between(0, (1 << 53) - 1)
_EXPIRES: Final = int_between(0, 1 << 40)


class Revocation(NamedTuple):
    """One link, or all links below an epoch."""

    link_id: str | None
    epoch: int | None
    expires_ms: int
    """Unix milliseconds until which the revocation is kept."""


def parse_revocation(fields: Mapping[str, object], now_ms: int) -> Revocation:
    """Return what to revoke; ``expires`` (Unix seconds) may shorten how long that is remembered.

    Raises:
        FailureError: ``invalid_request``.
    """
    problems = Problems()
    link_id = problems.read("link_id", fields.get("link_id"), _LINK_ID)
    epoch = problems.read("epoch", fields.get("epoch"), _EPOCH)
    expires_s = problems.read("expires", fields.get("expires"), _EXPIRES)
    if not fields.get("link_id") and fields.get("epoch") is None:
        problems.add("link_id", "Required, or epoch")
    problems.refuse_any()
    latest_ms = now_ms + LINK_LIFETIME_S_MAX * 1000
    return Revocation(link_id, epoch, latest_ms if expires_s is None else min(expires_s * 1000, latest_ms))
