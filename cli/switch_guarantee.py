"""``queuey switch-guarantee``: give a queue that is there another guarantee, while no storage node serves it.

Nodes keep a queue's row for seconds and leases in memory, so two of them could serve one queue under two guarantees.
With all nodes stopped there is nobody who could: what they held in memory is in the store, and is looked at here.
"""

from __future__ import annotations

import argparse
import json
import secrets
from typing import Final

import msgspec

from cli.copying import QueueWriter, read_queue
from cli.offline import OfflineError, opened_store, run_offline
from cli.progress import Progress
from cli.records import QueueEnd, QueueRecord
from common.clock import SYSTEM_CLOCK
from common.guarantees import Guarantee, LogKind, Ordering
from common.identifiers import TICKS_PER_MS, QueueId
from common.settings import Settings, load_settings
from storage_node.delivery.encoding import decode
from storage_node.delivery.lifecycle import Stage
from storage_node.store.interface import QueueRow, Store

NAME: Final = "switch-guarantee"
HELP: Final = (
    "Give an existing queue another guarantee. The storage nodes must be stopped; refused while messages are leased, "
    "unless --force."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("application")
    parser.add_argument("queue")
    parser.add_argument("guarantee", choices=[guarantee.value for guarantee in Guarantee])
    parser.add_argument(
        "--force", action="store_true", help="also while messages are leased: these may be handed out once more"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Switch and say what it was."""
    settings = load_settings()
    return run_offline(lambda: _switch(settings, arguments))


async def _switch(settings: Settings, arguments: argparse.Namespace) -> int:
    guarantee = Guarantee(arguments.guarantee)
    async with opened_store(settings.store) as store:
        row = await store.read_queue(arguments.application, arguments.queue)
        if row is None:
            raise OfflineError(f"{arguments.application} has no queue {arguments.queue!r}")
        if guarantee is Guarantee.AT_MOST_ONCE and row.ordering is Ordering.STRICT:
            raise OfflineError("strict ordering needs leases, which at_most_once does not have")
        if not arguments.force:
            await _refuse_leases(store, row)
        needs_fence = guarantee is Guarantee.EXACTLY_ONCE and row.log is LogKind.PLAIN
        changed = msgspec.structs.replace(row, guarantee=guarantee, version=row.version + 1)
        changed = await _fenced_copy(store, row, changed) if needs_fence else changed
        if not await store.replace_queue(changed, row.version):
            raise OfflineError("the queue was changed meanwhile: is a storage node running?")
        if changed.queue_id != row.queue_id:
            await store.forget_data(row)
    shown = {"application": row.application, "queue": row.name, "was": row.guarantee.value, "is": guarantee.value}
    print(json.dumps(shown) if arguments.json else "{application}/{queue}: {was} -> {is}".format(**shown))
    return 0


async def _refuse_leases(store: Store, row: QueueRow) -> None:
    now = SYSTEM_CLOCK.now_ticks()
    leased, latest = 0, now
    for group in await store.list_groups(row.queue_id):
        for partition in range(1, row.partitions + 1):
            delivery = await store.read_delivery(row.queue_id, partition, group.group)
            for _, _, entry in decode(delivery.state).items() if delivery else ():
                if entry.stage is Stage.LEASED and entry.until_ticks > now:
                    leased, latest = leased + 1, max(latest, entry.until_ticks)
    if leased:
        seconds = (latest - now) / TICKS_PER_MS / 1000
        raise OfflineError(
            f"{leased} messages are leased, the last for {seconds:.0f} s more: let consumers end before the nodes"
        )


async def _fenced_copy(store: Store, row: QueueRow, changed: QueueRow) -> QueueRow:
    """Copy a plain log into a fenced one under a new internal id, as purge gives one; return its row."""
    changed = msgspec.structs.replace(changed, queue_id=QueueId(secrets.token_bytes(16)), log=LogKind.FENCED)
    writer = QueueWriter(store, changed)
    progress = Progress("records")
    async for record in read_queue(store, row):
        if not isinstance(record, QueueRecord | QueueEnd):
            await writer.write(record)
            progress.add(1)
    await writer.finish()
    progress.end()
    return changed
