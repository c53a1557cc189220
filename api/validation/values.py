"""Single values: numbers, booleans, durations, instants, texts.

All arithmetic is in whole numbers: a duration is milliseconds, an instant is UUID ticks of 100 ns.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final, TypeVar

from api.validation.problems import BadValueError, shown
from common.identifiers import (
    TICKS_MAX,
    TICKS_PER_SECOND,
    UUID_EPOCH_TICKS,
    BadIdentifierError,
    MessageId,
    id_from_hex,
)
from common.limits import NAME_CHARS_MAX, NAME_PATTERN

Choice = TypeVar("Choice", bound=StrEnum)

_NUMBER_CHARS_MAX: Final = 40
_WHOLE: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_SECONDS: Final = re.compile(r"([0-9]+)(?:\.([0-9]*))?", re.ASCII)
_NAME: Final = re.compile(NAME_PATTERN, re.ASCII)
_DASHED_ID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def parse_int(value: object) -> int:
    """Return a whole number, also from its decimal text as v1 does.

    Raises:
        BadValueError: it is none.
    """
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    if isinstance(value, str) and len(value) <= _NUMBER_CHARS_MAX:
        text = value.strip(" \t")
        if _WHOLE.fullmatch(text):
            return int(text)
    raise BadValueError(f'"{shown(value)}" is not a number')


def int_between(low: int, high: int) -> Callable[[object], int]:
    """Return the parser of whole numbers from ``low`` to ``high``."""

    def parse(value: object) -> int:
        return _within(parse_int(value), low, high)

    return parse


def parse_flag(value: object) -> bool:
    """Return v1's boolean: false are ``false`` and ``0`` in any case (and JSON's own), all else is true."""
    return str(value).lower() not in {"false", "0"}


def ms_between(low_ms: int, high_ms: int) -> Callable[[object], int]:
    """Return the parser of durations: seconds with up to three decimals -> milliseconds within the bounds."""

    def parse(value: object) -> int:
        duration_ms = parse_duration_ms(value)
        if duration_ms < low_ms:
            raise BadValueError(f"{shown(value)} is less than minimum value {seconds_text(low_ms)}")
        if duration_ms > high_ms:
            raise BadValueError(f"{shown(value)} is greater than maximum value {seconds_text(high_ms)}")
        return duration_ms

    return parse


def parse_duration_ms(value: object) -> int:
    """Return milliseconds of a duration in seconds with up to three decimals.

    Raises:
        BadValueError: it is no such number.
    """
    whole, part = _seconds(value)
    if len(part.rstrip("0")) > 3:
        raise BadValueError(f'"{shown(value)}" has more than three decimals')
    return whole * 1000 + int(part[:3].ljust(3, "0"))


def seconds_text(duration_ms: int) -> str:
    """Return milliseconds as decimal seconds."""
    return f"{duration_ms / 1000:g}" if duration_ms % 1000 else str(duration_ms // 1000)


def parse_instant(value: object) -> int | MessageId:
    """Return UUID ticks of a time in Unix seconds, or a message id from its 32 hex digits.

    Decimals beyond the seventh (less than 100 ns) are cut off; a time that no id can have is the last one that an id
    can.  32 digits that make a version-1 UUID are an id.

    Raises:
        BadValueError: it is neither.
    """
    text = str(value) if type(value) in {int, float, str} else ""
    message_id = id_or_none(text)
    if message_id is not None:
        return message_id
    try:
        whole, part = _seconds(text)
    except BadValueError:
        raise BadValueError(f'"{shown(value)}" is neither a time in seconds nor a message id') from None
    return min(UUID_EPOCH_TICKS + whole * TICKS_PER_SECOND + int(part[:7].ljust(7, "0")), TICKS_MAX)


def id_or_none(text: str) -> MessageId | None:
    """Return the id that a text spells (dashes allowed where a UUID has them), or ``None``."""
    if len(text) == 36 and _DASHED_ID.fullmatch(text):
        text = text.replace("-", "")
    try:
        return id_from_hex(text)
    except BadIdentifierError:
        return None


def parse_name(value: object) -> str:
    """Return a queue's or group's name.

    Raises:
        BadValueError: it is none.
    """
    if isinstance(value, str) and is_name(value):
        return value
    raise BadValueError(
        f'"{shown(value)}" is not a name: 1 to {NAME_CHARS_MAX} letters, digits and _ - . ~ :, no leading _'
    )


def is_name(text: str) -> bool:
    """Say whether a text may name a queue or a group."""
    return _NAME.fullmatch(text) is not None and text not in {".", ".."}


def text_up_to(chars_max: int) -> Callable[[object], str]:
    """Return the parser of texts of at most that many characters, none of them a control character."""

    def parse(value: object) -> str:
        if not isinstance(value, str):
            raise BadValueError(f'"{shown(value)}" is not a string')
        if len(value) > chars_max:
            raise BadValueError(f"longer than maximum length {chars_max}")
        if _CONTROL.search(value):
            raise BadValueError("has control characters")
        return value

    return parse


def one_of(choices: type[Choice]) -> Callable[[object], Choice]:
    """Return the parser of one of an enumeration's texts."""

    def parse(value: object) -> Choice:
        try:
            return choices(str(value))
        except ValueError:
            raise BadValueError(f'"{shown(value)}" is not one of {", ".join(choices)}') from None

    return parse


def _within(number: int, low: int, high: int) -> int:
    if number < low:
        raise BadValueError(f"{number} is less than minimum value {low}")
    if number > high:
        raise BadValueError(f"{number} is greater than maximum value {high}")
    return number


def _seconds(value: object) -> tuple[int, str]:
    """Split non-negative decimal seconds into the whole and the decimals."""
    text = _plain(value) if type(value) is float else str(value) if type(value) in {int, str} else ""
    found = _SECONDS.fullmatch(text) if len(text) <= _NUMBER_CHARS_MAX else None
    if found is None:
        raise BadValueError(f'"{shown(value)}" is not a number')
    return int(found[1]), found[2] or ""


def _plain(number: float) -> str:
    """Return a JSON number without an exponent where it is short enough."""
    text = repr(number)
    return text if "e" not in text else f"{number:.10f}".rstrip("0")
