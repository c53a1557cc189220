"""The publish operation: which partition each message goes to, and one result for each."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import defaultdict
from typing import Final

from common.clock import Clock
from common.guarantees import Guarantee, LogKind
from common.limits import PUBLISH_DEADLINE_MS
from common.protocol.failures import Code, Failure, FailureError
from common.protocol.operations import NewMessage, Publish, Published, Stored
from storage_node.log.appending import Appends
from storage_node.log.values import Draft
from storage_node.queues import Queues
from storage_node.store.interface import QueueRow

PUBLISH_DEADLINE_S: Final = PUBLISH_DEADLINE_MS / 1000
CLIENT_KEY_PREFIX: Final = ":"


class Publishing:
    """Answers ``Publish``."""

    def __init__(self, appends: Appends, queues: Queues, *, clock: Clock, rng: random.Random) -> None:
        self._appends = appends
        self._queues = queues
        self._clock = clock
        self._rng = rng

    async def publish(self, operation: Publish, queue: QueueRow, *, deadline_s: float) -> Published:
        """Store the messages.

        Raises:
            FailureError: ``INVALID_REQUEST``, partitions that the queue does not have, each under
                ``<index>.partition``; nothing is stored then.
        """
        messages = operation.messages
        queue = await self._wide_enough(operation, queue)
        deadline_s = min(deadline_s, self._clock.monotonic_s() + PUBLISH_DEADLINE_S)
        shared = self._shared_partition(operation, queue)
        if len(messages) == 1 and messages[0].idempotency_key is None:
            message = messages[0]
            draft = _draft(message, _attempt_key(operation, queue), 0)
            partition = _partition(message, queue, shared)
            results = await self._appends.one(queue, partition, draft, deadline_s=deadline_s)
        else:
            results = await self._publish_all(operation, queue, shared, deadline_s)
        return Published(results=tuple(results), guarantee=queue.guarantee, partitions=queue.partitions)

    async def _publish_all(self, operation: Publish, queue: QueueRow, shared: int, deadline_s: float) -> list[Stored]:
        places: dict[int, list[int]] = defaultdict(list)
        for index, message in enumerate(operation.messages):
            places[_partition(message, queue, shared)].append(index)
        attempt_key = _attempt_key(operation, queue)
        drafts = [_draft(message, attempt_key, index) for index, message in enumerate(operation.messages)]
        if len(places) == 1:
            (partition,) = places
            return await self._appends.many(queue, partition, drafts, deadline_s=deadline_s)
        parts = await asyncio.gather(
            *[
                self._appends.many(queue, partition, [drafts[index] for index in indexes], deadline_s=deadline_s)
                for partition, indexes in places.items()
            ]
        )
        results: dict[int, Stored] = {}
        for indexes, part in zip(places.values(), parts, strict=True):
            results.update(zip(indexes, part, strict=True))
        return [results[index] for index in range(len(drafts))]

    async def _wide_enough(self, operation: Publish, queue: QueueRow) -> QueueRow:
        """Refuse a partition that the queue does not have, by a row read after the request came in.

        So it is with the one that the front end fixed for all attempts: a node that has not heard of a growth must
        not put the messages elsewhere than the node that is asked next.
        """
        messages = operation.messages
        highest = max([operation.partition, *(message.partition or 1 for message in messages)])
        if highest <= queue.partitions:
            return queue
        queue = await self._queues.find(queue.application, queue.name, fresh=True)
        wrong = {
            f"{index}.partition": f"{message.partition} is greater than maximum value {queue.partitions}"
            for index, message in enumerate(messages)
            if (message.partition or 1) > queue.partitions
        }
        if wrong:
            (field, text), *others = wrong.items()
            raise FailureError(Failure(Code.INVALID_REQUEST, field, text, more=dict(others)))
        return queue

    def _shared_partition(self, operation: Publish, queue: QueueRow) -> int:
        if operation.partition:
            return (operation.partition - 1) % queue.partitions + 1
        return self._rng.randrange(queue.partitions) + 1 if queue.partitions > 1 else 1


def partition_of_key(partition_key: str, queue: QueueRow) -> int:
    """Return the partition of a key: over those the queue had at creation, so that growing moves none."""
    digest = hashlib.blake2b(partition_key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % queue.partitions_at_creation + 1


def _partition(message: NewMessage, queue: QueueRow, shared: int) -> int:
    if message.partition is not None:
        return message.partition
    return shared if message.partition_key is None else partition_of_key(message.partition_key, queue)


def _attempt_key(operation: Publish, queue: QueueRow) -> str:
    """Only exactly_once needs to know its own retries; fenced logs alone can tell."""
    is_told = queue.guarantee is Guarantee.EXACTLY_ONCE and queue.log is LogKind.FENCED
    return operation.attempt_key if is_told else ""


def _draft(message: NewMessage, attempt_key: str, index: int) -> Draft:
    key = message.idempotency_key
    return Draft(
        message.body,
        message.content_type,
        message.attributes,
        message.ttl_s,
        message.delay_ms,
        None if key is None else CLIENT_KEY_PREFIX + key,
        f"a{attempt_key}/{index}".encode() if attempt_key else None,
    )
