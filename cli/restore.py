"""``queuey restore``: put a backup in place of the SQLite store."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from cli.sqlite_file import Told, Work, add_file, run_on_file
from storage_node.store.sqlite.maintenance import restore_file

NAME: Final = "restore"
HELP: Final = (
    "Put a copy of a backup in place of the SQLite store, which keeps another name. The service must be stopped."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_file(parser, "what `queuey backup` wrote")


def execute(arguments: argparse.Namespace) -> int:
    """Say where the earlier file is."""
    file: Path = arguments.file

    def work(store: Path, told: Told) -> Work:
        kept = restore_file(file.absolute(), store, progress=told)
        text = f"{store} is restored" + (f"; the earlier one is {kept}" if kept else "")
        return Work(text, {"file": str(store), "earlier": str(kept) if kept else None})

    on_cassandra = "Cassandra is restored from its snapshots: deploy/README.md tells how"
    return run_on_file(work, as_json=arguments.json, on_cassandra=on_cassandra)
