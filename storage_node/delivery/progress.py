"""How far groups have come: what ``GET groups`` tells."""

from __future__ import annotations

from collections.abc import Sequence

from common.identifiers import id_after, ticks_of
from common.limits import BACKLOG_EXACT_MAX
from common.protocol.operations import GroupInfo
from storage_node.delivery.jobs import LookJob, Progress
from storage_node.delivery.rows import Rows
from storage_node.delivery.tools import in_parts
from storage_node.log.logs import Logs
from storage_node.store.interface import Lane, QueueRow


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

    async def group(self, queue: QueueRow, group: str, *, deadline_s: float) -> GroupInfo:
        """Return one group's progress over all partitions."""
        partitions = range(1, queue.partitions + 1)
        shown = await self.look(queue, group, partitions, deadline_s=deadline_s)
        backlog = 0
        for partition, progress in shown.items():
            if backlog <= BACKLOG_EXACT_MAX:
                backlog += await self.backlog(queue, partition, progress)
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
        lows = {lane: id_after(progress.positions[lane]) for lane in Lane}
        limit = BACKLOG_EXACT_MAX + 1 + progress.closed_above
        above = await self._logs.count(queue, partition, low_by_lane=lows, limit=limit)
        return max(above - progress.closed_above, 0) + progress.open_below
