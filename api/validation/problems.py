"""What is wrong with a request, collected field by field so that all of it is reported together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from common.protocol.failures import Code, Failure, FailureError

Value = TypeVar("Value")

PROBLEMS_SHOWN_MAX: Final = 100
"""Wrong fields named in one reply."""


class BadValueError(ValueError):
    """One value is refused; its text is what ``error_msg`` shows."""


class Problems:
    """The wrong fields of one request."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def add(self, field: str, text: str) -> None:
        """Note that a field is wrong."""
        if len(self._found) < PROBLEMS_SHOWN_MAX:
            self._found.setdefault(field, text)

    def read(self, field: str, value: object, parse: Callable[[object], Value]) -> Value | None:
        """Return the parsed value; ``None`` where it was not given (absent or empty) or is wrong."""
        if value is None or value == "":
            return None
        return self.require(field, value, parse)

    def require(self, field: str, value: object, parse: Callable[[object], Value]) -> Value | None:
        """Return the parsed value, ``None`` where it is wrong; an empty value is a value here."""
        try:
            return parse(value)
        except BadValueError as error:
            self.add(field, str(error))
            return None

    def refuse_any(self) -> None:
        """Refuse the request if anything is wrong with it.

        Raises:
            FailureError: ``invalid_request``, naming every wrong field.
        """
        if self._found:
            (field, text), *others = self._found.items()
            raise FailureError(Failure(Code.INVALID_REQUEST, field, text, more=dict(others)))


def shown(value: object) -> str:
    """Return a wrong value as a text to quote, cut to 50 characters."""
    return str(value)[:50]
