"""``queuey export``: everything that a store keeps, into a file that either store can take in."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from cli.copying import queues_of, read_queue
from cli.offline import opened_store, run_offline
from cli.progress import Progress
from cli.records import End, Header, MessageRecord, QueueEnd, Record, Revocation, encode_record
from common.clock import SYSTEM_CLOCK, ticks_to_unix_ms
from common.settings import Settings, load_settings
from storage_node.store.interface import Store

NAME: Final = "export"
HELP: Final = (
    "Write all queues, messages, groups and positions of the store into a file (mode 0600). The storage nodes must "
    "be stopped, unless --sqlite names a backup. Idempotency keys are not part of it."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", type=Path, help="a new file")
    parser.add_argument(
        "--application", action="append", help="only this one (all that are configured); may be repeated"
    )
    parser.add_argument("--sqlite", type=Path, metavar="FILE", help="read this SQLite file, such as a backup")
    parser.add_argument("--json", action="store_true", help="print JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Write the file; it has its name only when it is complete."""
    settings = load_settings()
    if arguments.sqlite:
        store = msgspec.structs.replace(settings.store, backend="sqlite", path=str(arguments.sqlite))
        settings = msgspec.structs.replace(settings, store=store)
    applications = arguments.application or list(settings.applications)
    file: Path = arguments.file
    if file.exists():
        print(f"queuey: {file} is there: it is not overwritten", file=sys.stderr)
        return 1
    partial = file.with_name(file.name + ".partial")
    status = run_offline(lambda: _export(settings, applications, partial, as_json=arguments.json))
    if status == 0:
        partial.rename(file)
    return status


async def _export(settings: Settings, applications: Sequence[str], partial: Path, *, as_json: bool) -> int:
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    progress = Progress("messages")
    with os.fdopen(descriptor, "wb") as out:
        async with opened_store(settings.store) as store:
            async for record in _records(store, applications):
                out.write(encode_record(record))
                progress.add(isinstance(record, MessageRecord))
        out.flush()
        os.fsync(out.fileno())
    progress.end()
    print(json.dumps({"messages": progress.done}) if as_json else f"{progress.done} messages")
    return 0


async def _records(store: Store, applications: Sequence[str]) -> AsyncIterator[Record]:
    yield Header()
    queues = messages = 0
    for application in applications:
        async for row in queues_of(store, application):
            async for record in read_queue(store, row):
                yield record
                messages += record.messages if isinstance(record, QueueEnd) else 0
            queues += 1
        now_ms = ticks_to_unix_ms(SYSTEM_CLOCK.now_ticks())
        for revoked in await store.list_revocations(application, now_ms=now_ms):
            yield Revocation(application=application, row=revoked)
    yield End(queues=queues, messages=messages)
