"""What waits for a partition's writer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from common.identifiers import LOWEST, TICKS_PER_MS, TICKS_PER_SECOND, MessageId
from common.protocol.failures import Failure
from common.protocol.operations import Stored
from storage_node.log.values import Draft
from storage_node.store.interface import Lane, QueueRow, StoredMessage

ROW_BYTES = 64
"""What a message counts besides its body, towards the bounds on bytes."""


class Pending:
    """The part of one request that goes to one log: its results come together."""

    __slots__ = ("deadline_s", "future", "left", "results", "row")

    def __init__(self, row: QueueRow, count: int, future: asyncio.Future[list[Stored]], deadline_s: float) -> None:
        self.row = row
        self.future = future
        self.deadline_s = deadline_s
        self.left = count
        self.results: list[Stored] = [NOT_YET] * count

    def settle(self, index: int, result: Stored) -> None:
        """Set one result; with the last one the request goes on."""
        self.results[index] = result
        self.left -= 1
        if self.left == 0 and not self.future.done():
            self.future.set_result(self.results)


NOT_YET = Stored()


class Entry:
    """One message on its way into one log."""

    __slots__ = (
        "attributes",
        "body",
        "bucket",
        "content_type",
        "delay_ticks",
        "index",
        "key",
        "message_id",
        "moved_to",
        "pending",
        "replaces",
        "ttl_ticks",
    )

    def __init__(self, pending: Pending, index: int, draft: Draft, *, key: bytes | None, bucket: int | None) -> None:
        row = pending.row
        self.pending = pending
        self.index = index
        self.body = draft.body
        self.content_type = draft.content_type
        self.attributes = draft.attributes
        self.ttl_ticks = (row.ttl_s if draft.ttl_s is None else draft.ttl_s) * TICKS_PER_SECOND
        self.delay_ticks = delay_ms_of(row, draft) * TICKS_PER_MS
        self.key = key
        self.bucket = bucket
        """Where its key's row says it is; ``None``: wherever the log is written now."""
        self.moved_to: int | None = None
        """The bucket of its key's row is closed without it: this one is the next.  The same one: given up there."""
        self.replaces: MessageId | None = None
        """Plain: what is stored under its key, too late to count; it goes when this is stored."""
        self.message_id = LOWEST

    @property
    def size_bytes(self) -> int:
        """What it counts towards the bounds."""
        return len(self.body) + ROW_BYTES

    def message(self) -> StoredMessage:
        """Return its row, under the id it has now."""
        message_id = self.message_id
        expires = int.from_bytes(message_id[:8], "big") + self.ttl_ticks
        return StoredMessage(message_id, self.body, self.content_type, self.attributes, expires)

    def store(self, partition: int, message_id: MessageId) -> None:
        """It is stored under this id."""
        self.pending.settle(self.index, Stored(message_id=message_id, partition=partition))

    def fail(self, failure: Failure) -> None:
        """It is not stored, or nobody knows."""
        self.pending.settle(self.index, Stored(failure=failure))

    def move(self, bucket: int) -> None:
        """Hand it back: its own bucket takes it no more, its key's row must move first."""
        self.moved_to = bucket
        self.pending.settle(self.index, NOT_YET)


def delay_ms_of(row: QueueRow, draft: Draft) -> int:
    """Return the delay that counts: the message's, or the queue's."""
    return row.delay_ms if draft.delay_ms is None else draft.delay_ms


def lane_of(row: QueueRow, draft: Draft) -> Lane:
    """Return the lane it goes to."""
    return Lane.DELAYED if delay_ms_of(row, draft) else Lane.LIVE


def latest_deadline_s(entries: Iterable[Entry]) -> float:
    """Return the monotonic second after which nobody waits for any of these."""
    return max([entry.pending.deadline_s for entry in entries])
