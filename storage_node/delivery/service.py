"""What the node answers about delivery: one method per operation, from its queue's row to its reply."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Final, NamedTuple

from msgspec import structs

from common.clock import Clock
from common.guarantees import Guarantee, Ordering
from common.protocol import operations as ops
from common.protocol.failures import Code, FailureError, Retry, refuse
from storage_node.delivery.at_least_once import AtLeastOnce
from storage_node.delivery.at_most_once import AtMostOnce, not_leased
from storage_node.delivery.claiming import Claiming, Wanted, label_of
from storage_node.delivery.dead_letters import DeadLetters
from storage_node.delivery.exactly_once import ExactlyOnce
from storage_node.delivery.groups import Groups, place_of
from storage_node.delivery.jobs import (
    AckJob,
    Answered,
    AskJob,
    ExtendJob,
    ReceiptsJob,
    ReleaseJob,
    SeekJob,
    Taken,
)
from storage_node.delivery.policy import LeasePolicy, Policy
from storage_node.delivery.progress import ProgressReader
from storage_node.delivery.receipts import Receipt, bad_receipt, read_receipt, write_receipt
from storage_node.delivery.redriving import Redriving
from storage_node.delivery.rows import Rows
from storage_node.delivery.state import Lease
from storage_node.delivery.tools import in_parts
from storage_node.log.logs import Logs
from storage_node.log.reader import to_message
from storage_node.log.waiters import QueueGoneError
from storage_node.queues import Queues
from storage_node.store.errors import StoreFailedError
from storage_node.store.interface import QueueRow, Store

POLICIES: Final[dict[Guarantee, LeasePolicy]] = {
    Guarantee.AT_LEAST_ONCE: AtLeastOnce(),
    Guarantee.EXACTLY_ONCE: ExactlyOnce(),
}
STRICT: Final = ExactlyOnce()
AT_MOST_ONCE: Final = AtMostOnce()

_MakeJob = Callable[[LeasePolicy, list[Lease]], ReceiptsJob]


def lease_policy_of(queue: QueueRow) -> LeasePolicy:
    """Return how receipts of this queue are judged.

    Raises:
        FailureError: ``NOT_LEASED`` under at_most_once.
    """
    if queue.guarantee is Guarantee.AT_MOST_ONCE:
        raise not_leased()
    return STRICT if queue.ordering is Ordering.STRICT else POLICIES[queue.guarantee]


def policy_of(queue: QueueRow) -> Policy:
    """Return how messages of this queue leave."""
    return AT_MOST_ONCE if queue.guarantee is Guarantee.AT_MOST_ONCE else lease_policy_of(queue)


class _Place(NamedTuple):
    partition: int
    group: str


class Delivery:
    """Claims, acks, releases, extensions, groups and dead letters of all queues that this node serves."""

    def __init__(self, store: Store, queues: Queues, logs: Logs, *, clock: Clock, rng: random.Random) -> None:
        self._logs = logs
        self._clock = clock
        self._groups = Groups(store, logs, clock=clock)
        self._dead = DeadLetters(queues, logs, clock=clock)
        self.rows = Rows(store, logs, self._groups, clock=clock, rng=rng, on_corpses=self._dead.bury_soon)
        self._progress = ProgressReader(self.rows, logs)
        self._claiming = Claiming(self.rows, logs, self._progress, clock=clock)
        self._redriving = Redriving(self.rows, self._claiming, self._progress, self._dead, clock=clock)

    async def close(self) -> None:
        """Drain: write the leases that only this memory knows."""
        await self._dead.close()
        await self.rows.drain()

    # messages out

    async def claim(
        self,
        operation: ops.Claim,
        queue: QueueRow,
        *,
        deadline_s: float,
        readmit: Callable[[], Awaitable[object]] | None = None,
    ) -> ops.Claims:
        """Settle ``ack``, then claim; both go into one write where they meet in a row.

        ``readmit`` is asked before a claim that waited takes anything, and raises where its caller may no longer.
        """
        policy = policy_of(queue)
        receipts = self._receipts(queue, operation.ack) if operation.ack else []
        partitions = operation.partitions or tuple(range(1, queue.partitions + 1))
        if not all(1 <= partition <= queue.partitions for partition in partitions):
            raise refuse(Code.INVALID_PARAMETER, "partitions", f"The queue has {queue.partitions} partitions.")
        wanted = Wanted(
            queue=queue,
            group=operation.group,
            partitions=tuple(dict.fromkeys(partitions)),
            limit=operation.limit,
            lease_ms=queue.lease_ms if operation.lease_ms is None else operation.lease_ms,
            label=label_of(operation.claim_id),
            policy=policy,
            deadline_s=deadline_s,
            readmit=readmit,
        )
        wait_until_s = min(self._clock.monotonic_s() + operation.wait_ms / 1000, deadline_s)
        acking = self._settle(queue, operation.ack, receipts, AckJob, deadline_s=deadline_s)
        claiming = self._claiming.claim(wanted, wait_until_s=wait_until_s)
        if not operation.ack:
            acking.close()
            return ops.Claims(claims=self._claims(wanted, await claiming), acked=(), guarantee=queue.guarantee)
        acked, taken = await _both(acking, _unless_failed(claiming))
        return ops.Claims(claims=self._claims(wanted, taken), acked=acked, guarantee=queue.guarantee)

    def _claims(self, wanted: Wanted, taken: Sequence[tuple[int, Taken]]) -> tuple[ops.Claimed, ...]:
        return tuple(_claimed(wanted, partition, one) for partition, one in taken)

    # receipts

    async def ack(self, operation: ops.Ack, queue: QueueRow, *, deadline_s: float) -> ops.Settlements:
        """Settle."""
        return await self._answer(queue, operation.receipts, AckJob, deadline_s=deadline_s)

    async def release(self, operation: ops.Release, queue: QueueRow, *, deadline_s: float) -> ops.Settlements:
        """Give back, now or later."""

        def make(policy: LeasePolicy, leases: list[Lease]) -> ReceiptsJob:
            return ReleaseJob(policy, leases, delay_ms=operation.delay_ms)

        return await self._answer(queue, operation.receipts, make, deadline_s=deadline_s)

    async def extend(self, operation: ops.Extend, queue: QueueRow, *, deadline_s: float) -> ops.Settlements:
        """Hold longer."""
        lease_ms = queue.lease_ms if operation.lease_ms is None else operation.lease_ms

        def make(policy: LeasePolicy, leases: list[Lease]) -> ReceiptsJob:
            return ExtendJob(policy, leases, lease_ms=lease_ms)

        return await self._answer(queue, operation.receipts, make, deadline_s=deadline_s)

    async def ask_receipt(self, operation: ops.AskReceipt, queue: QueueRow, *, deadline_s: float) -> ops.Settlements:
        """Say whether an ack counted."""
        return await self._answer(queue, (operation.receipt,), AskJob, deadline_s=deadline_s)

    async def _answer(
        self, queue: QueueRow, texts: Sequence[str], make: _MakeJob, *, deadline_s: float
    ) -> ops.Settlements:
        receipts = self._receipts(queue, texts)
        results = await self._settle(queue, texts, receipts, make, deadline_s=deadline_s)
        return ops.Settlements(results=results, guarantee=queue.guarantee)

    def _receipts(self, queue: QueueRow, texts: Sequence[str]) -> list[Receipt]:
        """Read receipts; under at_most_once they are refused before they are looked at."""
        lease_policy_of(queue)
        receipts = [read_receipt(queue.queue_id, text) for text in texts]
        if not all(1 <= receipt.partition <= queue.partitions for receipt in receipts):
            raise bad_receipt()
        return receipts

    async def _settle(
        self,
        queue: QueueRow,
        texts: Sequence[str],
        receipts: Sequence[Receipt],
        make: _MakeJob,
        *,
        deadline_s: float,
    ) -> tuple[ops.Settled, ...]:
        policy = lease_policy_of(queue)
        numbers: dict[_Place, list[int]] = defaultdict(list)
        for number, receipt in enumerate(receipts):
            numbers[_Place(receipt.partition, receipt.group)].append(number)
        futures = {
            place: self.rows.of(queue, place.partition, place.group).submit(
                queue, make(policy, [receipts[number].lease for number in mine]), deadline_s=deadline_s
            )
            for place, mine in numbers.items()
        }
        await asyncio.gather(*futures.values())
        answers: dict[int, Answered] = {}
        for place, mine in numbers.items():
            answers.update(zip(mine, futures[place].result(), strict=True))
        return tuple(_settled(queue, texts[n], receipts[n], answers[n]) for n in range(len(texts)))

    # groups

    async def list_groups(self, operation: ops.ListGroups, queue: QueueRow, *, deadline_s: float) -> ops.Groups:
        """Tell how far all groups have come."""
        del operation
        names = await self._groups.names(queue)
        groups = await self._progress.groups(queue, names, deadline_s=deadline_s)
        return ops.Groups(groups=tuple(groups), guarantee=queue.guarantee)

    async def seek_group(self, operation: ops.SeekGroup, queue: QueueRow, *, deadline_s: float) -> ops.Done:
        """Move a group; if it is not there yet, it is created at that place."""
        planned = await self._groups.plan(queue, operation.group, operation.position, operation.at_ticks)
        if await self._groups.create(queue, planned) is None:
            return ops.Done()

        async def seek(partition: int) -> None:
            row = self.rows.of(queue, partition, operation.group)
            await row.submit(queue, SeekJob(place_of(planned, partition)), deadline_s=deadline_s)
            self._logs.wake(queue.queue_id, partition)

        await in_parts(seek, range(1, queue.partitions + 1))
        return ops.Done()

    # dead letters

    async def redrive(self, operation: ops.Redrive, queue: QueueRow, *, deadline_s: float) -> ops.Redriven:
        """Send dead letters back to where they came from."""
        return await self._redriving.redrive(queue, operation.limit, policy=STRICT, deadline_s=deadline_s)


async def _both(
    acking: Coroutine[object, object, tuple[ops.Settled, ...]],
    claiming: Coroutine[object, object, list[tuple[int, Taken]]],
) -> tuple[tuple[ops.Settled, ...], list[tuple[int, Taken]]]:
    """Begin the acks first, so that a row judges them before the claim of the same round.

    Where they fail the claim ends: nobody would hear of what it took.
    """
    acks, claim = asyncio.ensure_future(acking), asyncio.ensure_future(claiming)
    try:
        acked = await acks
    except BaseException:
        claim.cancel()
        await asyncio.gather(claim, return_exceptions=True)
        raise
    return acked, await claim


async def _unless_failed(
    claiming: Coroutine[object, object, list[tuple[int, Taken]]],
) -> list[tuple[int, Taken]]:
    """Give nothing where nothing was taken for certain, whatever the reason: the acks beside it have their answers,
    and a failure of the whole would say that they were not done.  The next claim meets the reason by itself.
    """
    try:
        return await claiming
    except (QueueGoneError, StoreFailedError):
        return []
    except FailureError as error:
        if error.failure.retry is Retry.UNKNOWN_OUTCOME:
            raise
        return []


def _claimed(wanted: Wanted, partition: int, one: Taken) -> ops.Claimed:
    receipt = None
    if one.lease is not None:
        receipt = write_receipt(wanted.queue.queue_id, Receipt(one.lease, partition, wanted.group))
    return ops.Claimed(
        message=to_message(partition, one.message),
        deliveries=one.deliveries,
        receipt=receipt,
        lease_until_ticks=None if one.lease is None else one.lease.until_ticks,
    )


def _settled(queue: QueueRow, text: str, receipt: Receipt, answered: Answered) -> ops.Settled:
    if answered.lease is None:
        return ops.Settled(receipt=text, outcome=answered.outcome)
    longer = write_receipt(queue.queue_id, structs.replace(receipt, lease=answered.lease))
    return ops.Settled(
        receipt=text,
        outcome=answered.outcome,
        new_receipt=longer,
        lease_until_ticks=answered.lease.until_ticks,
    )
