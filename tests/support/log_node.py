"""The log of one storage node without a socket: store, catalogue, logs, and short names for what tests do to them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from common.clock import SYSTEM_CLOCK, Clock
from common.guarantees import Guarantee, LogKind
from common.protocol.operations import (
    Caller,
    DeleteMessages,
    MessagesRead,
    NewMessage,
    Publish,
    Published,
    PutMessages,
    QueueSettings,
    Read,
    ReadMessages,
)
from common.settings import ApplicationSettings
from storage_node.log.clockcheck import HostClocks
from storage_node.log.logs import Logs
from storage_node.queues import Queues
from storage_node.store.interface import QueueRow, Store

NOTES = Caller(principals=("app:notes",))
APPLICATIONS = {
    "notes": ApplicationSettings(guarantee=Guarantee.AT_LEAST_ONCE),
    "once": ApplicationSettings(guarantee=Guarantee.EXACTLY_ONCE),
    "most": ApplicationSettings(guarantee=Guarantee.AT_MOST_ONCE),
    "fenced": ApplicationSettings(guarantee=Guarantee.AT_LEAST_ONCE, log=LogKind.FENCED),
}
PATIENCE_S = 10.0


class LogNode:
    """One node's log on a store."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock = SYSTEM_CLOCK,
        seed: int = 1,
        host_clocks: HostClocks | None = None,
        on_stored: Callable[[str, int, int], None] | None = None,
    ) -> None:
        rng = random.Random(seed)
        self.store = store
        self.clock = clock
        self.queues = Queues(store, clock=clock, rng=rng, applications=APPLICATIONS)
        self.logs = Logs(store, self.queues, clock=clock, rng=rng, host_clocks=host_clocks, on_stored=on_stored)

    @property
    def deadline_s(self) -> float:
        return self.clock.monotonic_s() + PATIENCE_S

    async def queue(
        self, name: str = "inbox", *, application: str = "notes", settings: QueueSettings | None = None
    ) -> QueueRow:
        return await self.queues.create(application, name, settings or QueueSettings())

    async def publish(
        self, queue: QueueRow, *messages: NewMessage | bytes, partition: int = 0, attempt: str = ""
    ) -> Published:
        operation = Publish(
            application=queue.application,
            queue=queue.name,
            caller=NOTES,
            messages=tuple(NewMessage(body=item) if isinstance(item, bytes) else item for item in messages),
            partition=partition,
            attempt_key=attempt,
        )
        return await self.logs.publishing.publish(operation, queue, deadline_s=self.deadline_s)

    async def read(
        self,
        queue: QueueRow,
        *,
        partitions: Sequence[int] = (1,),
        since: bytes | None = None,
        after: bytes | None = None,
        until: bytes | None = None,
        cursor: bytes | None = None,
        limit: int = 100,
        descending: bool = False,
        wait_ms: int = 0,
    ) -> MessagesRead:
        operation = Read(
            application=queue.application,
            queue=queue.name,
            caller=NOTES,
            partitions=tuple(partitions),
            since=since,
            after=after,
            until=until,
            cursor=cursor,
            limit=limit,
            descending=descending,
            wait_ms=wait_ms,
        )
        return await self.logs.reader.read(operation, queue, deadline_s=self.deadline_s + wait_ms / 1000)

    async def read_ids(self, queue: QueueRow, *ids: tuple[int, bytes]) -> MessagesRead:
        operation = ReadMessages(application=queue.application, queue=queue.name, caller=NOTES, ids=ids)
        return await self.logs.edits.read(operation, queue)

    async def put(self, queue: QueueRow, body: bytes, *ids: tuple[int, bytes], ttl_s: int | None = None) -> None:
        operation = PutMessages(
            application=queue.application,
            queue=queue.name,
            caller=NOTES,
            ids=ids,
            body=body,
            ttl_s=ttl_s,
            content_type=None,
        )
        await self.logs.edits.put(operation, queue)

    async def delete(self, queue: QueueRow, *ids: tuple[int, bytes]) -> None:
        operation = DeleteMessages(application=queue.application, queue=queue.name, caller=NOTES, ids=ids)
        await self.logs.edits.delete(operation, queue)


def bodies(page: MessagesRead) -> list[bytes]:
    """Return the bodies of a page, in its order."""
    return [message.body for message in page.messages]
