"""The logs of all partitions, as delivery and the log's own operations see them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from common.clock import Clock
from common.identifiers import MessageId, QueueId
from common.protocol.operations import Stored
from storage_node.log.values import Draft, Listed, Listing
from storage_node.log.waiters import Watch
from storage_node.queues import Queues
from storage_node.store.interface import Lane, QueueRow, Store


class Logs:
    """Append to, list and watch the partitions' logs.  Nothing in here grows with queues that have no traffic.

    Every method raises ``FailureError`` (``CLOCK_UNSURE``, ``OVERLOADED``) or an error of
    ``storage_node.store.errors``; a cancelled call leaves a write under way to its own end.
    """

    def __init__(self, store: Store, queues: Queues, *, clock: Clock, rng: random.Random) -> None:
        raise NotImplementedError

    async def append(
        self, queue: QueueRow, partition: int, drafts: Sequence[Draft], *, deadline_s: float
    ) -> list[Stored]:
        """Append by the rules of the queue's log and guarantee; one result per draft, in order.

        ``deadline_s``: monotonic seconds of the node's clock.  A result without ``failure`` is durable and acknowledged.  Failures are values here: ``OUTCOME_UNKNOWN``,
        ``STORE_UNAVAILABLE``, ``STORE_FULL``, ``OVERLOADED``, ``CLOCK_UNSURE``, ``IDEMPOTENCY_CONFLICT``.  A draft
        with a ``key`` that is stored already answers with the id (and partition) it has.
        """
        raise NotImplementedError

    async def listing(
        self,
        queue: QueueRow,
        partition: int,
        *,
        low_by_lane: Mapping[Lane, MessageId],
        limit: int,
        bodies: bool = True,
    ) -> Listing:
        """List up to ``limit`` messages per lane with ``low <= id <= now``, read from the store now, QUORUM or more.

        A lane that ``low_by_lane`` does not name is not read.  For a fenced log the delayed lane's fence is moved
        forward before it is listed, so what was listed stays complete.
        """
        raise NotImplementedError

    async def fetch(self, queue: QueueRow, partition: int, ids: Sequence[MessageId]) -> list[Listed]:
        """Return the live messages of these ids, with bodies, from both lanes, ascending."""
        raise NotImplementedError

    async def ends(self, queue: QueueRow) -> dict[int, MessageId]:
        """Return ``last`` of the live lane of each partition of a fenced log (``LOWEST`` where nothing was stored)."""
        raise NotImplementedError

    async def count(
        self, queue: QueueRow, partition: int, *, low_by_lane: Mapping[Lane, MessageId], limit: int
    ) -> int:
        """Count live messages with ``id >= low`` per lane, due ones and those not yet due, up to ``limit``."""
        raise NotImplementedError

    def watch(self, queue: QueueRow, partitions: Sequence[int]) -> Watch:
        """Watch partitions for messages that become readable; use as ``with logs.watch(...) as watch``.

        Open it *before* the listing that finds nothing, so that nothing falls between.
        """
        raise NotImplementedError

    def wake(self, queue_id: QueueId, partition: int) -> None:
        """Wake whoever watches this partition (delivery calls it when something becomes claimable again)."""
        raise NotImplementedError
