"""Redrive: dead letters back to their queue, claimed as the reserved group, settled once they are stored there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from common.clock import Clock
from common.protocol.operations import Redriven
from storage_node.delivery.claiming import Claiming, Wanted
from storage_node.delivery.dead_letters import DeadLetters, Sent
from storage_node.delivery.groups import REDRIVE_GROUP
from storage_node.delivery.jobs import AckJob, ReleaseJob, Taken
from storage_node.delivery.policy import LeasePolicy
from storage_node.delivery.progress import ProgressReader
from storage_node.delivery.rows import Rows
from storage_node.delivery.state import Lease
from storage_node.delivery.tools import in_parts
from storage_node.store.interface import QueueRow

BATCH: Final = 100
"""Dead letters under way at once."""
LEASE_MS: Final = 60_000
TIME_TO_END_S: Final = 2.0
"""Seconds before the deadline at which no further batch is begun."""


class Redriving:
    """Moves dead letters back, batch by batch, until the limit, the end or the deadline."""

    def __init__(
        self, rows: Rows, claiming: Claiming, progress: ProgressReader, dead: DeadLetters, *, clock: Clock
    ) -> None:
        self._rows = rows
        self._claiming = claiming
        self._progress = progress
        self._dead = dead
        self._clock = clock

    async def redrive(
        self, queue: QueueRow, limit: int | None, *, policy: LeasePolicy, deadline_s: float
    ) -> Redriven:
        """Return how many went back, and how many are left."""
        wanted = Wanted(
            queue=queue,
            group=REDRIVE_GROUP,
            partitions=tuple(range(1, queue.partitions + 1)),
            limit=BATCH,
            lease_ms=LEASE_MS,
            label=b"",
            policy=policy,
            deadline_s=deadline_s,
        )
        redriven = 0
        while (limit is None or redriven < limit) and self._clock.monotonic_s() < deadline_s - TIME_TO_END_S:
            left = BATCH if limit is None else min(BATCH, limit - redriven)
            taken = await self._claiming.claim(wanted._replace(limit=left), wait_until_s=0.0)
            outcomes = await self._send_back(wanted, taken, policy)
            redriven += outcomes.count(Sent.BACK)
            if len(taken) < left or Sent.NOT_SURE in outcomes:
                break
        return Redriven(redriven=redriven, remaining=await self._remaining(wanted))

    async def _send_back(self, wanted: Wanted, taken: Sequence[tuple[int, Taken]], policy: LeasePolicy) -> list[Sent]:
        async def send(pair: tuple[int, Taken]) -> Sent:
            return await self._dead.send_back(wanted.queue, pair[1])

        outcomes = await in_parts(send, taken)
        done: dict[tuple[int, bool], list[Lease]] = defaultdict(list)
        for (partition, one), outcome in zip(taken, outcomes, strict=True):
            if one.lease is not None:
                done[partition, outcome is not Sent.NOT_SURE].append(one.lease)
        for (partition, is_sure), leases in done.items():
            job = AckJob(policy, leases) if is_sure else ReleaseJob(policy, leases, delay_ms=0)
            await self._rows.of(wanted.queue, partition, REDRIVE_GROUP).submit(wanted.queue, job)
        return list(outcomes)

    async def _remaining(self, wanted: Wanted) -> int:
        shown = await self._progress.look(
            wanted.queue, REDRIVE_GROUP, wanted.partitions, deadline_s=wanted.deadline_s
        )
        counts = [
            await self._progress.backlog(wanted.queue, partition, progress) for partition, progress in shown.items()
        ]
        return sum(counts) + sum(progress.in_flight for progress in shown.values())
