"""Turn a parsed TOML document into frozen structs, gathering every problem instead of stopping at the first."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import (
    Final,
    NamedTuple,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

_WRONG: Final = object()


class Problem(NamedTuple):
    """One thing that is wrong with a configuration."""

    key: str
    """Where, as ``section.key``."""
    reason: str

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}"


@runtime_checkable
class Judging(Protocol):
    """A struct that can say what its types alone can't refuse."""

    def problems(self) -> tuple[tuple[str, str], ...]:
        """Return pairs of a key below the struct's own and what is wrong with it."""


def convert_struct(document: object, struct: type[T], key: str, found: list[Problem]) -> T | None:
    """Make the struct, adding all that is wrong with the document to ``found``.

    What is wrong takes its default, so that the rest can still be judged; ``None`` where there is no default.
    """
    if not isinstance(document, Mapping):
        found.append(Problem(key, "is not a table"))
        return None
    values = _field_values(document, struct, key, found)
    missing = [field.name for field in msgspec.structs.fields(struct) if field.required and field.name not in values]
    found += [Problem(_below(key, name), "is missing") for name in missing if name not in document]
    if missing:
        return None
    made = struct(**values)
    if isinstance(made, Judging):
        found += [Problem(_below(key, name), reason) for name, reason in made.problems()]
    return made


def _field_values(
    document: Mapping[str, object], struct: type[msgspec.Struct], key: str, found: list[Problem]
) -> dict[str, object]:
    hints = get_type_hints(struct, include_extras=True)
    values = {}
    for name, item in document.items():
        if name not in struct.__struct_fields__:
            found.append(Problem(_below(key, name), "is no known key"))
            continue
        value = _value(item, hints[name], _below(key, name), found)
        if value is not _WRONG:
            values[name] = value
    return values


def _value(value: object, hint: object, key: str, found: list[Problem]) -> object:
    struct, container = _struct_inside(hint)
    if struct is None:
        return _plain(value, hint, key, found)
    if container is dict:
        return _table(value, struct, key, found)
    if container is tuple:
        return _array(value, struct, key, found)
    return convert_struct(value, struct, key, found) or _WRONG


def _struct_inside(hint: object) -> tuple[type[msgspec.Struct] | None, object]:
    """Return the struct that a hint is about, and the container (``dict``, ``tuple``) that it is in."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint, None
    container, inside = get_origin(hint), get_args(hint)
    if container in {Union, UnionType}:
        return next((found for found in map(_struct_inside, inside) if found[0]), (None, None))
    if container is dict:
        return _struct_inside(inside[1])[0], dict
    return (_struct_inside(inside[0])[0], tuple) if container is tuple else (None, None)


def _plain(value: object, hint: object, key: str, found: list[Problem]) -> object:
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        found.append(Problem(key, str(error).replace("`", "")))
        return _WRONG


def _table(value: object, struct: type[msgspec.Struct], key: str, found: list[Problem]) -> object:
    if not isinstance(value, Mapping):
        found.append(Problem(key, "is not a table"))
        return _WRONG
    made = {name: convert_struct(item, struct, _below(key, name), found) for name, item in value.items()}
    return {name: item for name, item in made.items() if item is not None}


def _array(value: object, struct: type[msgspec.Struct], key: str, found: list[Problem]) -> object:
    if not isinstance(value, list):
        found.append(Problem(key, "is not an array of tables"))
        return _WRONG
    made = (convert_struct(item, struct, f"{key}[{n}]", found) for n, item in enumerate(value))
    return tuple(item for item in made if item is not None)


def _below(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
