"""``queuey migrate``: bring the store's schema up to date without starting a node."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from common.settings import StoreSettings, load_settings
from storage_node.store.errors import StoreError
from storage_node.store.sqlite.maintenance import migrate_file

NAME: Final = "migrate"
HELP: Final = (
    "Bring the store's schema up to date, making what is missing. On Cassandra nodes may be running; a SQLite file "
    "must not be in use."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Print how many steps were applied."""
    try:
        steps = _migrate(load_settings().store)
    except StoreError as error:
        print(f"queuey: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"steps": steps}) if arguments.json else f"{steps} schema steps applied")
    return 0


def _migrate(settings: StoreSettings) -> int:
    if settings.backend == "sqlite":
        return migrate_file(Path(settings.path))
    from storage_node.store.cql.opening import apply_schema

    return apply_schema(settings)
