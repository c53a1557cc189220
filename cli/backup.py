"""``queuey backup``: a copy of the SQLite store, made while the service runs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from cli.progress import Progress
from common.settings import load_settings
from storage_node.store.errors import StoreError
from storage_node.store.sqlite.maintenance import backup_file

NAME: Final = "backup"
HELP: Final = (
    "Copy the SQLite store into a new file (mode 0600) while the service runs; all acknowledged before is in it."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", type=Path, help="a new file")
    parser.add_argument("--json", action="store_true", help="print JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Write the copy; it has its name only when it is complete and checked."""
    settings = load_settings().store
    if settings.backend != "sqlite":
        print("queuey: Cassandra is backed up by its snapshots: deploy/README.md tells how", file=sys.stderr)
        return 1
    progress = Progress("pages")
    try:
        size_bytes = backup_file(Path(settings.path), arguments.file.absolute(), progress=progress.set)
    except StoreError as error:
        print(f"queuey: {error}", file=sys.stderr)
        return 1
    progress.end()
    shown = {"file": str(arguments.file), "bytes": size_bytes}
    print(json.dumps(shown) if arguments.json else f"{arguments.file}: {size_bytes} bytes")
    return 0
