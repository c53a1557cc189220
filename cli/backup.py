"""``queuey backup``: a copy of the SQLite store, made while the service runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from cli.sqlite_file import Told, Work, add_file, run_on_file
from storage_node.store.sqlite.maintenance import backup_file

NAME: Final = "backup"
HELP: Final = (
    "Copy the SQLite store into a new file (mode 0600) while the service runs; all acknowledged before is in it."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_file(parser, "a new file")


def execute(arguments: argparse.Namespace) -> int:
    """Write the copy; it has its name only when it is complete and checked."""
    file: Path = arguments.file

    def work(store: Path, told: Told) -> Work:
        size_bytes = backup_file(store, file.absolute(), progress=told)
        return Work(f"{file}: {size_bytes} bytes", {"file": str(file), "bytes": size_bytes})

    on_cassandra = "Cassandra is backed up by its snapshots: deploy/README.md tells how"
    return run_on_file(work, as_json=arguments.json, on_cassandra=on_cassandra)
