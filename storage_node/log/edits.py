"""v1's reads, writes and deletions by id: edits of the log, never publishes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from common.identifiers import LOWEST, TICKS_PER_SECOND, MessageId, ticks_of
from common.protocol.operations import DeleteMessages, Done, MessagesRead, PutMessages, ReadMessages
from storage_node.log.bounds import log_of
from storage_node.log.buckets import bucket_of, is_on_grid
from storage_node.log.listings import LANES
from storage_node.log.reader import to_message
from storage_node.log.tools import Tools
from storage_node.log.values import Listed
from storage_node.log.writer import Writers
from storage_node.store.interface import Lane, LogAddress, QueueRow, StoredMessage

EDIT_STEP_TICKS: Final = 10
"""One microsecond: the unit of a store's write times."""


class Edits:
    """Answers what names messages by id."""

    def __init__(self, tools: Tools, writers: Writers) -> None:
        self._tools = tools
        self._writers = writers

    async def read(self, operation: ReadMessages, queue: QueueRow) -> MessagesRead:
        """Return those of the messages that are there, by partition in the order first named."""
        messages = []
        for partition, ids in _by_partition(operation.ids).items():
            found = await self.fetch(queue, partition, ids)
            messages += [to_message(partition, listed.message) for listed in found]
        return MessagesRead(messages=tuple(messages), next=b"", complete_until={}, guarantee=queue.guarantee)

    async def put(self, operation: PutMessages, queue: QueueRow) -> Done:
        """Write the body to every id, made where missing; its time to live begins anew."""
        for partition, ids in _by_partition(operation.ids).items():
            present = {listed.message.message_id: listed for listed in await self.fetch(queue, partition, ids)}
            for message_id in dict.fromkeys(ids):
                await self._put(operation, queue, partition, message_id, present.get(message_id))
            self._tools.waiters.wake(queue.queue_id, partition)
        return Done()

    async def delete(self, operation: DeleteMessages, queue: QueueRow) -> Done:
        """Delete the messages, whether or not they are there."""
        for partition, ids in _by_partition(operation.ids).items():
            for lane in LANES:
                await self._delete(log_of(queue, partition, lane), ids)
        return Done()

    async def fetch(self, queue: QueueRow, partition: int, ids: Sequence[MessageId]) -> list[Listed]:
        """Return the live ones of these ids from both lanes, ascending."""
        found: list[Listed] = []
        now = self._tools.clock.now_ticks()
        for lane in LANES:
            log = log_of(queue, partition, lane)
            if log in self._tools.undelayed:
                continue
            for bucket, part in (await self._by_bucket(log, ids)).items():
                rows = await self._tools.store.read_messages(log, bucket, part, now_ticks=now)
                found += [Listed(lane, row) for row in rows]
        return sorted(found, key=lambda listed: listed.message.message_id)

    async def _put(
        self, operation: PutMessages, queue: QueueRow, partition: int, message_id: MessageId, present: Listed | None
    ) -> None:
        now = self._tools.clock.now_ticks()
        lane = Lane.LIVE if present is None else present.lane
        written = now if present is None else max(now, present.message.written_ticks + EDIT_STEP_TICKS)
        ttl_s = queue.ttl_s if operation.ttl_s is None else operation.ttl_s
        row = StoredMessage(
            message_id,
            operation.body,
            operation.content_type,
            operation.attributes,
            now + ttl_s * TICKS_PER_SECOND,
            written,
        )
        log = log_of(queue, partition, lane)
        await self._tools.store.put_message(
            log, await self._bucket_to_put(queue, log, message_id), row, now_ticks=now
        )
        if self._tools.on_stored is not None:
            self._tools.on_stored(queue.application, len(row.body), row.expires_ticks)

    async def _bucket_to_put(self, queue: QueueRow, log: LogAddress, message_id: MessageId) -> int:
        """Return the bucket of the id, made if the log has none that early."""
        if is_on_grid(queue.log, log.lane):
            return await self._tools.buckets.for_append(log, ticks_of(message_id))
        bucket = await self._tools.buckets.of_id(log, message_id)
        if bucket is None:
            bucket = 0
            await self._tools.buckets.open(log, bucket, last=LOWEST)
        return bucket

    async def _delete(self, log: LogAddress, ids: Sequence[MessageId]) -> None:
        if log in self._tools.undelayed:
            return
        store, now = self._tools.store, self._tools.clock.now_ticks()
        for bucket, part in (await self._by_bucket(log, ids)).items():
            written = now
            if self._tools.several_nodes:
                rows = await store.read_messages(log, bucket, part, now_ticks=now)
                written = max([now, *(row.written_ticks + EDIT_STEP_TICKS for row in rows)])
            await store.delete_messages(log, bucket, part, written_ticks=written, now_ticks=now)

    async def _by_bucket(self, log: LogAddress, ids: Sequence[MessageId]) -> Mapping[int, list[MessageId]]:
        """Sort ids by bucket on one read of the index; those before the first bucket are nowhere."""
        if not self._tools.buckets.cut:
            return {0: list(ids)}
        if not ids:
            return {}
        index = await self._tools.buckets.fresh_index(log)
        parts: dict[int, list[MessageId]] = defaultdict(list)
        for message_id in ids:
            bucket = bucket_of(index, message_id)
            if bucket is not None:
                parts[bucket].append(message_id)
        return parts


def _by_partition(ids: Iterable[tuple[int, bytes]]) -> dict[int, list[MessageId]]:
    parts: dict[int, list[MessageId]] = defaultdict(list)
    for partition, message_id in ids:
        parts[partition].append(MessageId(message_id))
    return parts
