"""``queuey reference``: settings, limits, failures and operations in Markdown, generated from the code."""

from __future__ import annotations

import argparse
import ast
import inspect
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from api.auth.errors import AuthCode
from api.responses import statuses
from common import identity_settings, limits, quota_settings, settings
from common.protocol.operations import OPERATIONS

NAME: Final = "reference"
HELP: Final = "Print the reference of settings, limits, failures and operations in Markdown."

_SECTIONS: Final[tuple[tuple[str, type[msgspec.Struct]], ...]] = (
    ("[api]", settings.ApiSettings),
    ("[storage_node]", settings.StorageNodeSettings),
    ("[store]", settings.StoreSettings),
    ("[applications.NAME]", settings.ApplicationSettings),
    ("[applications.NAME.quotas]", quota_settings.QuotaSettings),
    ("[applications.NAME.browserid]", identity_settings.BrowserIdSettings),
    ("[[applications.NAME.oidc]]", identity_settings.OidcIssuerSettings),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take none."""
    del parser


def execute(arguments: argparse.Namespace) -> int:
    """Print it."""
    del arguments
    print(reference(), end="")
    return 0


def reference() -> str:
    """Return the whole reference."""
    parts = ["# Reference\n\nGenerated from the code by `make docs`.\n", "## Settings\n"]
    parts += [_settings_table(section, struct) for section, struct in _SECTIONS]
    parts.append("## Limits\n\n" + _table(("Name", "Value", "What"), _limits()))
    parts.append("## Failures\n\n" + statuses.table())
    codes = ", ".join(f"`{code}`" for code in AuthCode)
    parts.append(
        f"A credential that does not hold is 401 (a link over its rate 429) under one of these codes: {codes}.\n"
    )
    operations = ((name, _first_sentence(kind.__doc__)) for name, kind in OPERATIONS.items())
    parts.append("## Operations\n\nThe names of metrics and logs.\n\n" + _table(("Operation", "What"), operations))
    return "\n".join(parts)


class _Described(NamedTuple):
    name: str
    value: ast.expr | None
    text: str


def _described(body: list[ast.stmt]) -> Iterator[_Described]:
    """Yield each assignment of a body with the docstring under it."""
    for statement, following in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield _Described(statement.target.id, statement.value, _docstring(following))


def _docstring(statement: ast.stmt) -> str:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return " ".join(str(statement.value.value).split())
    return ""


def _settings_table(section: str, struct: type[msgspec.Struct]) -> str:
    (definition,) = ast.parse(inspect.getsource(struct)).body
    assert isinstance(definition, ast.ClassDef), "the source of a class is a class"
    texts = {described.name: described.text for described in _described(definition.body)}
    rows = (
        (field.encode_name, _default(field), texts.get(field.name, "")) for field in msgspec.structs.fields(struct)
    )
    return f"### `{section}`\n\n" + _table(("Key", "Default", "What"), rows)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        return repr(field.default_factory())
    if field.default is msgspec.NODEFAULT:
        return "required"
    return "see below" if isinstance(field.default, msgspec.Struct) else repr(_plain(field.default))


def _plain(value: object) -> object:
    return str(value) if isinstance(value, str) else value


def _limits() -> Iterator[tuple[str, str, str]]:
    for described in _described(ast.parse(inspect.getsource(limits)).body):
        value = getattr(limits, described.name)
        yield described.name, f"{value:,}" if isinstance(value, int) else repr(value), described.text


def _first_sentence(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split())


def _table(heads: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join((f"`{name}`", *(_cell(text) for text in rest))) + " |" for name, *rest in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
