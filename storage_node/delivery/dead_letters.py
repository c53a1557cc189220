"""Messages that were delivered often enough: into the dead-letter queue, then settled at the source; and back."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from enum import Enum
from hashlib import blake2b
from typing import Final

from common.clock import Clock
from common.identifiers import QueueId, id_to_hex
from common.limits import PUBLISH_DEADLINE_MS
from common.protocol.failures import FailureError
from common.protocol.operations import Stored
from storage_node.delivery.candidates import ONLY_GROUP, Corpse
from storage_node.delivery.cell import Place
from storage_node.delivery.jobs import BuryJob, Taken
from storage_node.delivery.row import Row
from storage_node.log.logs import Logs
from storage_node.log.values import Draft
from storage_node.queues import Queues
from storage_node.store.errors import StoreError
from storage_node.store.interface import QueueRow

SOURCE_QUEUE: Final = "source_queue"
SOURCE_PARTITION: Final = "source_partition"
SOURCE_ID: Final = "source_id"
SOURCE_GROUP: Final = "source_group"
DELIVERIES: Final = "deliveries"
REASON: Final = "reason"
_OURS: Final = frozenset({SOURCE_QUEUE, SOURCE_PARTITION, SOURCE_ID, SOURCE_GROUP, DELIVERIES, REASON})
RETRY_S: Final = 5.0
"""Seconds until a dead letter that could not be stored is tried again, by the next claim."""


class Sent(Enum):
    """What became of a message that a redrive met."""

    BACK = "back"
    NOT_DEAD = "not_dead"
    """It was published here, and stays; the next redrive does not look at it again."""
    NOT_SURE = "not_sure"


class DeadLetters:
    """Moves messages between a queue and its dead-letter queue, each step stored once under its key."""

    def __init__(self, queues: Queues, logs: Logs, *, clock: Clock) -> None:
        self._queues = queues
        self._logs = logs
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def bury_soon(self, row: Row, corpses: list[Corpse]) -> None:
        """Publish the dead letters, then settle them; until both are sure the entries stay."""
        epoch = row.cell.state.epoch
        task = asyncio.get_running_loop().create_task(self._bury(row, corpses, epoch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End what is under way; what was not settled is tried again by a later claim."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _bury(self, row: Row, corpses: list[Corpse], epoch: int) -> None:
        places = {corpse.place for corpse in corpses}
        try:
            buried = await self._publish(row, corpses, epoch)
            if buried:
                await row.submit(row.cell.queue, BuryJob(epoch, buried))
            row.cell.dying.difference_update(buried)
            if len(buried) < len(places):
                await asyncio.sleep(RETRY_S)
        except (FailureError, StoreError):
            await asyncio.sleep(RETRY_S)
        finally:
            row.cell.dying.difference_update(places)
            self._logs.wake(row.cell.queue.queue_id, row.key.partition)

    async def _publish(self, row: Row, corpses: list[Corpse], epoch: int) -> list[Place]:
        """Return those that are surely stored where they go, or have nowhere to go."""
        queue = row.cell.queue
        if not queue.dead_letter_queue:
            return [corpse.place for corpse in corpses]
        target = await self._queues.find(queue.application, queue.dead_letter_queue)
        by_partition: dict[int, list[tuple[Place, Draft]]] = defaultdict(list)
        for corpse in corpses:
            key = _key("d", queue.queue_id, corpse.place.message_id, f"{epoch}/{row.key.group}")
            draft = _dead_letter(queue, row, corpse, key)
            by_partition[_spread(key, target)].append((corpse.place, draft))
        buried: list[Place] = []
        for partition, pairs in by_partition.items():
            results = await self._append(target, partition, [draft for _, draft in pairs])
            buried += [place for (place, _), one in zip(pairs, results, strict=True) if one.failure is None]
        return buried

    async def send_back(self, queue: QueueRow, taken: Taken) -> Sent:
        """Publish a dead letter to where it came from, for the group that failed."""
        attributes = taken.message.attributes
        if SOURCE_QUEUE not in attributes:
            return Sent.NOT_DEAD
        key = _key("r", queue.queue_id, taken.message.message_id, "")
        kept = {name: value for name, value in attributes.items() if name not in _OURS}
        if SOURCE_GROUP in attributes:
            kept[ONLY_GROUP] = attributes[SOURCE_GROUP]
        draft = Draft(taken.message.body, taken.message.content_type, kept, delay_ms=0, key=key)
        try:
            source = await self._queues.find(queue.application, attributes[SOURCE_QUEUE])
            (result,) = await self._append(source, _partition(attributes, key, source), [draft])
        except (FailureError, StoreError):
            return Sent.NOT_SURE
        return Sent.BACK if result.failure is None else Sent.NOT_SURE

    async def _append(self, queue: QueueRow, partition: int, drafts: Sequence[Draft]) -> list[Stored]:
        deadline_s = self._clock.monotonic_s() + PUBLISH_DEADLINE_MS / 1000
        return await self._logs.append(queue, partition, drafts, deadline_s=deadline_s)


def _dead_letter(queue: QueueRow, row: Row, corpse: Corpse, key: str) -> Draft:
    """Make a dead letter: for all groups of its queue, also where it was brought back for one and died again."""
    kept = {name: value for name, value in corpse.message.attributes.items() if name != ONLY_GROUP}
    attributes = {
        **kept,
        SOURCE_QUEUE: queue.name,
        SOURCE_PARTITION: str(row.key.partition),
        SOURCE_ID: id_to_hex(corpse.place.message_id),
        SOURCE_GROUP: row.key.group,
        DELIVERIES: str(corpse.deliveries),
        REASON: "max_deliveries",
    }
    return Draft(corpse.message.body, corpse.message.content_type, attributes, delay_ms=0, key=key)


def _key(kind: str, queue_id: QueueId, message_id: bytes, rest: str) -> str:
    digest = blake2b(rest.encode(), digest_size=16, key=queue_id, salt=message_id)
    return f"{kind}/{digest.hexdigest()}"


def _spread(key: str, queue: QueueRow) -> int:
    return int(key[-8:], 16) % queue.partitions_at_creation + 1


def _partition(attributes: dict[str, str], key: str, queue: QueueRow) -> int:
    text = attributes.get(SOURCE_PARTITION, "")
    number = int(text) if text.isascii() and text.isdigit() else 0
    return number if 1 <= number <= queue.partitions else _spread(key, queue)
