"""From drafts to stored messages: each draft into its lane, its key's place, its writer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from common.protocol.operations import Stored
from storage_node.log.bounds import log_of
from storage_node.log.keyed import KeyedAppends
from storage_node.log.pending import Entry, Pending, lane_of
from storage_node.log.tools import Tools
from storage_node.log.values import Draft
from storage_node.log.writer import Writers
from storage_node.store.interface import Lane, QueueRow

LANES: Final = (Lane.LIVE, Lane.DELAYED)


class Appends:
    """Appends drafts to one partition."""

    def __init__(self, tools: Tools, writers: Writers) -> None:
        self._writers = writers
        self._keyed = KeyedAppends(tools, writers)

    def one(
        self, queue: QueueRow, partition: int, draft: Draft, *, deadline_s: float
    ) -> asyncio.Future[list[Stored]]:
        """Append one draft without a client's key; the list has one result."""
        pending = Pending(queue, 1, asyncio.get_running_loop().create_future(), deadline_s)
        log = log_of(queue, partition, lane_of(queue, draft))
        self._writers.submit(log, queue.log, (Entry(pending, 0, draft, key=draft.attempt, bucket=None),))
        return pending.future

    async def many(
        self, queue: QueueRow, partition: int, drafts: Sequence[Draft], *, deadline_s: float
    ) -> list[Stored]:
        """Append drafts; one result each, in order."""
        if len(drafts) == 1 and drafts[0].key is None:
            return await self.one(queue, partition, drafts[0], deadline_s=deadline_s)
        unkeyed = [index for index, draft in enumerate(drafts) if draft.key is None]
        if len(unkeyed) == len(drafts):
            return await self._submit(queue, partition, drafts, deadline_s)
        future = self._submit(queue, partition, [drafts[index] for index in unkeyed], deadline_s)
        keyed = [index for index, draft in enumerate(drafts) if draft.key is not None]
        waited = [self._keyed.append(queue, partition, drafts[index], deadline_s=deadline_s) for index in keyed]
        results = dict(zip(keyed, await asyncio.gather(*waited), strict=True)) if waited else {}
        results.update(zip(unkeyed, await future, strict=True))
        return [results[index] for index in range(len(drafts))]

    def _submit(
        self, queue: QueueRow, partition: int, drafts: Sequence[Draft], deadline_s: float
    ) -> asyncio.Future[list[Stored]]:
        pending = Pending(queue, len(drafts), asyncio.get_running_loop().create_future(), deadline_s)
        entries = [Entry(pending, index, draft, key=draft.attempt, bucket=None) for index, draft in enumerate(drafts)]
        if not entries:
            pending.future.set_result([])
        for lane in LANES:
            part = [entry for entry in entries if (lane is Lane.DELAYED) == bool(entry.delay_ticks)]
            if part:
                self._writers.submit(log_of(queue, partition, lane), queue.log, part)
        return pending.future
