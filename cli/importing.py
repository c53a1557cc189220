"""``queuey import``: take an export into the store."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import BinaryIO, Final

from cli.copying import QueueWriter, row_for
from cli.offline import OfflineError, opened_store, run_offline
from cli.progress import Progress
from cli.records import (
    BadExportError,
    End,
    Header,
    QueueEnd,
    QueueRecord,
    Record,
    Revocation,
    decode_records,
)
from common.settings import Settings, load_settings
from storage_node.store.interface import QueueRow, Store

NAME: Final = "import"
HELP: Final = (
    "Take an export into the configured store, ids and positions kept. The storage nodes must be stopped. An import "
    "that was cut off can be repeated: what is there is left."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", type=Path, help="what `queuey export` wrote")
    parser.add_argument("--json", action="store_true", help="print JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Take it in; a queue is there only when it is complete."""
    settings = load_settings()
    try:
        with arguments.file.open("rb") as lines:
            return run_offline(lambda: _import(settings, lines, as_json=arguments.json))
    except OSError as error:
        print(f"queuey: {error}", file=sys.stderr)
        return 1
    except BadExportError as error:
        print(f"queuey: {arguments.file} can't be taken in: {error}", file=sys.stderr)
        return 1


async def _import(settings: Settings, lines: BinaryIO, *, as_json: bool) -> int:
    size_bytes = sum(line_bytes for _, line_bytes in decode_records(lines))  # sound to its end, before any write
    lines.seek(0)
    progress = Progress("bytes", total=size_bytes)
    async with opened_store(settings.store) as store:
        importer = _Importer(store, settings)
        for record, line_bytes in decode_records(lines):
            await importer.take(record)
            progress.add(line_bytes)
    progress.end()
    shown = {"taken": importer.taken, "were_there": importer.skipped}
    print(json.dumps(shown) if as_json else f"{importer.taken} queues taken in, {importer.skipped} were there")
    return 0


class _Importer:
    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._applications = settings.applications
        self._writer: QueueWriter | None = None
        self.taken = 0
        self.skipped = 0

    async def take(self, record: Record) -> None:
        match record:
            case Header() | End():
                pass
            case QueueRecord(row=row):
                await self._begin(row)
            case QueueEnd():
                await self._end()
            case Revocation(application=application, row=revoked):
                await self._store.revoke(application, revoked)
            case _:
                if self._writer is not None:
                    await self._writer.write(record)

    async def _begin(self, row: QueueRow) -> None:
        if row.application not in self._applications:
            raise OfflineError(f"the configuration has no application {row.application!r}")
        standing = await self._store.read_queue(row.application, row.name)
        if standing is not None and standing.queue_id != row.queue_id:
            raise OfflineError(
                f"{row.application} has another queue {row.name!r}: delete it, or take the export elsewhere"
            )
        self._writer = None if standing else QueueWriter(self._store, row_for(self._store, row))
        self.skipped += standing is not None

    async def _end(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        await writer.finish()
        await self._store.insert_queue(writer.row)
        self.taken += 1
