"""Work on the configured SQLite file as a whole, page by page, with a progress bar."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cli.progress import Progress
from common.settings import load_settings
from storage_node.store.errors import StoreError

Told = Callable[[int, int], None]
"""Hears of the pages done, and of all of them."""


class Work(NamedTuple):
    """What came of it."""

    text: str
    values: dict[str, object]
    """The same, for ``--json``."""


def add_file(parser: argparse.ArgumentParser, text: str) -> None:
    """Declare the other file, and ``--json``."""
    parser.add_argument("file", type=Path, help=text)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_on_file(work: Callable[[Path, Told], Work], *, as_json: bool, on_cassandra: str) -> int:
    """Do it and print what came of it; 1 with a line on standard error where it fails, or where there is no file."""
    settings = load_settings().store
    if settings.backend != "sqlite":
        print(f"queuey: {on_cassandra}", file=sys.stderr)
        return 1
    progress = Progress("pages")
    try:
        done = work(Path(settings.path), progress.set)
    except StoreError as error:
        print(f"queuey: {error}", file=sys.stderr)
        return 1
    progress.end()
    print(json.dumps(done.values) if as_json else done.text)
    return 0
