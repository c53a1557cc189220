"""The statements as source, and what they become: prepared once, each with its consistency and its kind."""

from __future__ import annotations

import re
from enum import StrEnum
from importlib.resources import files
from typing import Final, NamedTuple

LIFETIMES: Final = ("hour", "week", "long")
"""The message tables, by ``LogAddress.lifetime``."""

_TABLE: Final = re.compile(r"\b(FROM|INTO|UPDATE|TABLE IF NOT EXISTS) (\w+)\b(?!\.)")
_HEAD: Final = re.compile(r"-- name: (\S+) \| table: (\S+) \| consistency: (\w+) \| kind: (\w+)")


class Kind(StrEnum):
    """What may be done with a statement whose first answer is slow or lost."""

    READ = "read"
    WRITE = "write"
    CONDITIONAL = "conditional"
    SERIAL = "serial"

    @property
    def is_idempotent(self) -> bool:
        """It may be sent twice at the same time."""
        return self in (Kind.READ, Kind.WRITE)

    @property
    def changes(self) -> bool:
        """An answer that never came may hide a change."""
        return self in (Kind.WRITE, Kind.CONDITIONAL)


class Level(StrEnum):
    """How many replicas answer; the names of the statements file.

    QUORUM and SERIAL are those of the deployment: over all data centres, or in the node's own.
    """

    ONE = "one"
    QUORUM = "quorum"
    EACH_QUORUM = "each_quorum"
    SERIAL = "serial"


class Statement(NamedTuple):
    """One statement of the file, a {lifetime} filled in."""

    name: str
    table: str
    level: Level
    kind: Kind
    text: str


def qualify(text: str, keyspace: str) -> str:
    """Name the keyspace before each table that has none: a connection's own would make prepared text ambiguous."""
    return _TABLE.sub(rf"\1 {keyspace}.\2", text)


def load_statements() -> list[Statement]:
    """Return all statements of the file."""
    source = files(__package__).joinpath("statements.cql").read_text()
    return [each for paragraph in source.split("\n\n") for each in _parse(paragraph.strip())]


def _parse(paragraph: str) -> list[Statement]:
    """Return the statements of a paragraph that begins with a head line; none of a comment."""
    head = _HEAD.match(paragraph)
    if head is None:
        return []
    name, table, level, kind = head.groups()
    text = " ".join(paragraph[head.end() :].split()).rstrip(";")
    return [
        Statement(_fill(name, each), _fill(table, each), Level(level), Kind(kind), _fill(text, each))
        for each in (LIFETIMES if "{lifetime}" in name else LIFETIMES[:1])
    ]


def _fill(text: str, lifetime: str) -> str:
    return text.replace("{lifetime}", lifetime)
