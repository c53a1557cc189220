"""Consumer groups: created once, in the queue's metadata; partition rows come from them lazily."""

from __future__ import annotations

from typing import Final

from common import limits
from common.clock import Clock
from common.guarantees import LogKind
from common.identifiers import LOWEST, TICKS_PER_MS, MessageId, first_id_at, id_before
from common.protocol.failures import Code, refuse
from storage_node.log.logs import Logs
from storage_node.store.interface import GroupRow, QueueRow, Store

REDRIVE_GROUP: Final = "_redrive"
"""Reserved: the group that moves dead letters back."""
START: Final = "start"
END: Final = "end"
AT: Final = "at"

Positions = tuple[MessageId, MessageId]
"""One per lane."""


class Groups:
    """Creates and lists groups, and says where their partitions begin."""

    def __init__(self, store: Store, logs: Logs, *, clock: Clock) -> None:
        self._store = store
        self._logs = logs
        self._clock = clock

    async def names(self, queue: QueueRow) -> list[str]:
        """Return the groups that clients made, by name."""
        return [row.group for row in await self._store.list_groups(queue.queue_id) if row.group != REDRIVE_GROUP]

    async def beginning(self, queue: QueueRow, partition: int, group: str) -> Positions:
        """Return where this partition begins, creating the group (at ``start``) if there is none."""
        for row in await self._store.list_groups(queue.queue_id):
            if row.group == group:
                return place_of(row, partition)
        fresh = GroupRow(group, self._clock.now_ticks(), START, {})
        standing = await self.create(queue, fresh)
        return place_of(standing or fresh, partition)

    async def create(self, queue: QueueRow, row: GroupRow) -> GroupRow | None:
        """Create the group; ``None`` when created, else the row that stands there."""
        known = await self._store.list_groups(queue.queue_id)
        if len(known) >= limits.GROUPS_PER_QUEUE_MAX and all(one.group != row.group for one in known):
            raise refuse(Code.QUOTA_EXCEEDED, "group", f"A queue has at most {limits.GROUPS_PER_QUEUE_MAX} groups.")
        return await self._store.insert_group(queue.queue_id, row)

    async def plan(self, queue: QueueRow, group: str, position: str, at_ticks: int | None) -> GroupRow:
        """Return the row of a group that begins at this place, taken now."""
        now = self._clock.now_ticks()
        if position == AT:
            return GroupRow(group, at_ticks if at_ticks is not None else now, AT, {})
        ends = await self._logs.ends(queue) if position == END and queue.log is LogKind.FENCED else {}
        return GroupRow(group, now, END if position == END else START, ends)


def place_of(row: GroupRow, partition: int) -> Positions:
    """Return where a group's partition begins, by lane.

    ``end`` is the group's time minus D, as other nodes' clocks may be slower; in a fenced log it is what was
    ``last`` then, and a partition that was added later begins at its start.
    """
    if row.start == START:
        return LOWEST, LOWEST
    if row.start == AT:
        before = id_before(first_id_at(row.created_ticks))
        return before, before
    before = id_before(first_id_at(row.created_ticks - limits.LATE_WINDOW_MS * TICKS_PER_MS))
    if not row.ends:
        return before, before
    return (row.ends[partition], before) if partition in row.ends else (LOWEST, LOWEST)
