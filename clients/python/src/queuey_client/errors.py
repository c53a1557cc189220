"""Two kinds of trouble: the service said no, or nobody knows what became of the call."""

from __future__ import annotations

from collections.abc import Mapping


class QueueyError(Exception):
    """A call that did not answer with what was asked for."""


class RefusedError(QueueyError):
    """Certainly not done.

    ``status`` is the HTTP status, ``code`` the service's stable name for it, ``fields`` what is wrong with what,
    ``retry_later`` whether the same call may succeed later (it was repeated already, as often as allowed).
    """

    def __init__(self, status: int, code: str, fields: Mapping[str, str], *, retry_later: bool) -> None:
        text = "; ".join(f"{name}: {reason}" for name, reason in fields.items())
        super().__init__(f"{status} {code}: {text}")
        self.status = status
        self.code = code
        self.fields = dict(fields)
        self.retry_later = retry_later


class OutcomeUnknownError(QueueyError):
    """It may or may not have been done: no answer came, or the service said that it can't tell."""
