"""The logs of all partitions, as delivery and dispatch see them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence

from common.clock import Clock
from common.guarantees import LogKind
from common.identifiers import MessageId, QueueId
from common.protocol.operations import Stored
from storage_node.log.appending import Appends
from storage_node.log.bounds import BoundsTaker, log_of, read_last
from storage_node.log.clockcheck import ClockCheck, HostClocks
from storage_node.log.edits import Edits
from storage_node.log.fenced import write_fenced
from storage_node.log.floor import Floor
from storage_node.log.housekeeping import erase
from storage_node.log.ids import Stamper
from storage_node.log.listings import Listings
from storage_node.log.plain import write_plain
from storage_node.log.publishing import Publishing
from storage_node.log.reader import Reader
from storage_node.log.rescans import Watches
from storage_node.log.tools import Tools
from storage_node.log.values import Draft, Listed, Listing
from storage_node.log.waiters import Watch
from storage_node.log.writer import Writers
from storage_node.queues import Queues
from storage_node.store.interface import Lane, QueueRow, Store


class Logs:
    """Append to, list and watch the partitions' logs.  Nothing in here grows with queues that have no traffic.

    Every method raises ``FailureError`` (``CLOCK_UNSURE``, ``OVERLOADED``) or an error of
    ``storage_node.store.errors``; a cancelled call leaves a write under way to its own end.
    """

    def __init__(
        self,
        store: Store,
        queues: Queues,
        *,
        clock: Clock,
        rng: random.Random,
        host_clocks: HostClocks | None = None,
        on_stored: Callable[[str, int, int], None] | None = None,
    ) -> None:
        """``on_stored`` is told of every body stored: application, bytes, ticks of its expiry."""
        self._clock_check = ClockCheck(clock, host_clocks)
        floor = Floor(store, clock)
        stamper = Stamper(clock, rng, floor_ticks=floor.found_ticks)
        tools = Tools(
            store,
            queues,
            clock=clock,
            stamper=stamper,
            floor=floor,
            clock_check=self._clock_check,
            on_stored=on_stored,
        )
        self._tools = tools
        self._writers = Writers(tools, {LogKind.FENCED: write_fenced, LogKind.PLAIN: write_plain})
        self._bounds = BoundsTaker(tools, self._writers)
        self._listings = Listings(tools, self._writers, self._bounds)
        self._appends = Appends(tools, self._writers)
        self._watches = Watches(tools, self._listings)
        queues.on_given_up = tools.waiters.give_up
        queues.on_reading = tools.ahead.begin
        self._background: list[asyncio.Task[None]] = []
        self.publishing = Publishing(self._appends, queues, clock=clock, rng=rng)
        self.reader = Reader(self._listings, self._bounds, self._watches, clock=clock)
        self.edits = Edits(tools, self._writers)

    # life

    def start(self) -> None:
        """Begin what runs in the background: measuring the clock, erasing what is given up."""
        self._tools.floor.report()
        loop = asyncio.get_running_loop()
        self._background = [
            loop.create_task(self._clock_check.run()),
            loop.create_task(erase(self._tools.store, self._tools.clock)),
        ]

    def drain(self) -> None:
        """End all waiting, now and from now on."""
        self._tools.waiters.drain()

    async def close(self) -> None:
        """Finish the writes under way, end everything else."""
        self.drain()
        await self._writers.close()
        await self._watches.close()
        await self._tools.floor.close()
        for task in self._background:
            task.cancel()
        if self._background:
            await asyncio.wait(self._background)

    @property
    def writes_under_way(self) -> int:
        """How many logs are being written."""
        return self._writers.busy

    @property
    def writer(self) -> bytes:
        """Return the low half of every live id that this node stamps; no other process uses it.

        A listing by this node holds all acknowledged ids of its own up to its last one.
        """
        return self._tools.stamper.live_low

    # what delivery uses

    async def append(
        self, queue: QueueRow, partition: int, drafts: Sequence[Draft], *, deadline_s: float
    ) -> list[Stored]:
        """Append by the rules of the queue's log and guarantee; one result per draft, in order.

        ``deadline_s``: monotonic seconds of the node's clock.  A result without ``failure`` is durable and
        acknowledged.  Failures are values here: ``OUTCOME_UNKNOWN``, ``STORE_UNAVAILABLE``, ``STORE_FULL``,
        ``OVERLOADED``, ``CLOCK_UNSURE``, ``IDEMPOTENCY_CONFLICT``.  A draft with a ``key`` that is stored already
        answers with the id (and partition) it has.
        """
        return await self._appends.many(queue, partition, drafts, deadline_s=deadline_s)

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
        return await self._listings.walk(queue, partition, low_by_lane=low_by_lane, limit=limit, bodies=bodies)

    async def fetch(self, queue: QueueRow, partition: int, ids: Sequence[MessageId]) -> list[Listed]:
        """Return the live messages of these ids, with bodies, from both lanes, ascending."""
        return await self.edits.fetch(queue, partition, ids)

    async def ends(self, queue: QueueRow) -> dict[int, MessageId]:
        """Return ``last`` of the live lane of each partition of a fenced log; ``LOWEST`` where nothing was stored."""
        return {
            partition: await read_last(self._tools, log_of(queue, partition, Lane.LIVE))
            for partition in range(1, queue.partitions + 1)
        }

    async def count(
        self, queue: QueueRow, partition: int, *, low_by_lane: Mapping[Lane, MessageId], limit: int
    ) -> int:
        """Count live messages with ``id >= low`` per lane, due ones and those not yet due, up to ``limit``."""
        return await self._listings.count(queue, partition, low_by_lane=low_by_lane, limit=limit)

    async def count_all(self, queue: QueueRow) -> int:
        """Count all messages of a queue."""
        return await self._listings.count_all(queue)

    def watch(self, queue: QueueRow, partitions: Sequence[int]) -> Watch:
        """Watch partitions for messages that become readable; use as ``with logs.watch(...) as watch``.

        Open it *before* the listing that finds nothing, so that nothing falls between.
        """
        return self._watches.watch(queue, partitions)

    def wake(self, queue_id: QueueId, partition: int) -> None:
        """Wake whoever watches this partition (delivery calls it when something becomes claimable again)."""
        self._tools.waiters.wake(queue_id, partition)
