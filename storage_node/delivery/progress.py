"""How far groups have come: what ``GET groups`` tells."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from common.identifiers import MessageId, id_after, ticks_of
from common.limits import BACKLOG_EXACT_MAX
from common.protocol.operations import GroupInfo
from storage_node.delivery.jobs import LookJob, Progress
from storage_node.delivery.rows import Rows
from storage_node.delivery.state import in_runs
from storage_node.delivery.tools import AT_ONCE, in_parts
from storage_node.log.logs import Logs
from storage_node.store.interface import Lane, QueueRow

LISTED_MAX: Final = 1_000
"""Ids in one page of a listing."""


class _Counts:
    """Counts of one request: groups that stand at the same place share one."""

    def __init__(self, logs: Logs, queue: QueueRow) -> None:
        self._logs = logs
        self._queue = queue
        self._under_way: dict[tuple[int, tuple[MessageId, ...], int], asyncio.Task[int]] = {}

    async def backlog(self, partition: int, progress: Progress) -> int:
        """Count what is neither settled nor leased, exactly up to the bound."""
        closed = progress.closed_above + await self._within_runs(partition, progress)
        limit = BACKLOG_EXACT_MAX + 1 + closed
        key = (partition, progress.positions, limit)
        if key not in self._under_way:
            self._under_way[key] = asyncio.get_running_loop().create_task(self._count(*key))
        above = await asyncio.shield(self._under_way[key])
        return max(above - closed, 0) + progress.open_below

    async def _within_runs(self, partition: int, progress: Progress) -> int:
        """Count the messages that runs stand for: a run does not know how many it has."""
        found = 0
        for lane, runs in zip(Lane, progress.runs, strict=True):
            end = max((run.last_ticks for run in runs), default=0)
            low, more = id_after(progress.positions[lane]), True
            while more and ticks_of(low) <= end:
                page = await self._logs.listing(
                    self._queue, partition, low_by_lane={lane: low}, limit=LISTED_MAX, bodies=False
                )
                ids = [one.message.message_id for one in page.messages]
                found += sum(in_runs(runs, message_id) for message_id in ids)
                more, low = page.more, id_after(ids[-1]) if ids else low
        return found

    async def _count(self, partition: int, positions: tuple[MessageId, ...], limit: int) -> int:
        lows = {lane: id_after(positions[lane]) for lane in Lane}
        return await self._logs.count(self._queue, partition, low_by_lane=lows, limit=limit)


class ProgressReader:
    """Looks at groups without touching them."""

    def __init__(self, rows: Rows, logs: Logs) -> None:
        self._rows = rows
        self._logs = logs

    async def look(
        self, queue: QueueRow, group: str, partitions: Sequence[int], *, deadline_s: float
    ) -> dict[int, Progress]:
        """Return what each partition shows now."""

        async def one(partition: int) -> Progress:
            return await self._rows.of(queue, partition, group).submit(queue, LookJob(), deadline_s=deadline_s)

        found = await in_parts(one, partitions)
        return dict(zip(partitions, found, strict=True))

    async def groups(self, queue: QueueRow, names: Sequence[str], *, deadline_s: float) -> list[GroupInfo]:
        """Return the progress of groups over all partitions, some of them looked at side by side."""
        counts = _Counts(self._logs, queue)

        async def one(group: str) -> GroupInfo:
            return await self._group(queue, group, counts, deadline_s=deadline_s)

        return await in_parts(one, names)

    async def _group(self, queue: QueueRow, group: str, counts: _Counts, *, deadline_s: float) -> GroupInfo:
        shown = await self.look(queue, group, range(1, queue.partitions + 1), deadline_s=deadline_s)
        backlog = await _sum_up(counts, shown)
        oldest = min((p.oldest for p in shown.values() if p.oldest is not None), default=None)
        return GroupInfo(
            group=group,
            backlog=min(backlog, BACKLOG_EXACT_MAX),
            backlog_more=backlog > BACKLOG_EXACT_MAX,
            in_flight=sum(progress.in_flight for progress in shown.values()),
            oldest_ticks=None if oldest is None else ticks_of(oldest),
            position={partition: progress.positions[Lane.LIVE] for partition, progress in shown.items()},
        )

    async def backlog(self, queue: QueueRow, partition: int, progress: Progress) -> int:
        """Count what is neither settled nor leased, exactly up to the bound."""
        return await _Counts(self._logs, queue).backlog(partition, progress)


async def _sum_up(counts: _Counts, shown: dict[int, Progress]) -> int:
    """Add the backlogs of partitions until the bound is passed."""
    places = list(shown.items())
    total = 0
    for first in range(0, len(places), AT_ONCE):
        if total > BACKLOG_EXACT_MAX:
            break
        total += sum(await asyncio.gather(*(counts.backlog(*each) for each in places[first : first + AT_ONCE])))
    return total
