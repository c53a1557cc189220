"""``queuey restore``: put a backup in place of the SQLite store."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from cli.progress import Progress
from common.settings import load_settings
from storage_node.store.errors import StoreError
from storage_node.store.sqlite.maintenance import restore_file

NAME: Final = "restore"
HELP: Final = (
    "Put a copy of a backup in place of the SQLite store, which keeps another name. The service must be stopped."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", type=Path, help="what `queuey backup` wrote")
    parser.add_argument("--json", action="store_true", help="print JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Say where the earlier file is."""
    settings = load_settings().store
    if settings.backend != "sqlite":
        print("queuey: Cassandra is restored from its snapshots: deploy/README.md tells how", file=sys.stderr)
        return 1
    progress = Progress("pages")
    try:
        kept = restore_file(arguments.file.absolute(), Path(settings.path), progress=progress.set)
    except StoreError as error:
        print(f"queuey: {error}", file=sys.stderr)
        return 1
    progress.end()
    told = f"{settings.path} is restored" + (f"; the earlier one is {kept}" if kept else "")
    shown = {"file": settings.path, "earlier": str(kept) if kept else None}
    print(json.dumps(shown) if arguments.json else told)
    return 0
