"""One claim over partitions: collect what the claim_id holds, fill up, or wait for something to come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import blake2b
from typing import NamedTuple

from common.clock import Clock
from common.guarantees import Guarantee
from common.limits import LATE_WINDOW_MS
from common.protocol.failures import Code, FailureError, refuse
from storage_node.delivery.jobs import ClaimAnswer, ClaimJob, Taken
from storage_node.delivery.policy import Policy
from storage_node.delivery.progress import ProgressReader
from storage_node.delivery.rows import Rows
from storage_node.delivery.state import LABEL_BYTES
from storage_node.delivery.tools import in_parts
from storage_node.log.logs import Logs
from storage_node.store.errors import StoreError, StoreUnknownError
from storage_node.store.interface import QueueRow

HALF_WINDOW_S = LATE_WINDOW_MS / 2 / 1000


class Wanted(NamedTuple):
    """What a claim asks for."""

    queue: QueueRow
    group: str
    partitions: tuple[int, ...]
    limit: int
    lease_ms: int
    label: bytes
    policy: Policy
    deadline_s: float
    """Monotonic seconds by which it must be answered."""
    readmit: Callable[[], Awaitable[object]] | None = None
    """Raises where the caller lost its right while the claim waited."""


class Got(NamedTuple):
    """What it got."""

    taken: list[tuple[int, Taken]]
    """(partition, message)."""
    blocked: bool


class Claiming:
    """Claims from the rows of all partitions asked for."""

    def __init__(self, rows: Rows, logs: Logs, progress: ProgressReader, *, clock: Clock) -> None:
        self._rows = rows
        self._logs = logs
        self._progress = progress
        self._clock = clock
        self._turn = 0

    async def claim(self, wanted: Wanted, *, wait_until_s: float) -> list[tuple[int, Taken]]:
        """Claim, waiting until then for the first message.

        Raises:
            FailureError: ``TOO_MANY_IN_FLIGHT`` if there are messages and ``max_in_flight`` lets none go.
        """
        if wait_until_s <= self._clock.monotonic_s():
            return _taken(await self._once(wanted))
        with self._logs.watch(wanted.queue, wanted.partitions) as watch, self._vigils(wanted):
            while True:
                got = await self._once(wanted)
                left_s = wait_until_s - self._clock.monotonic_s()
                if got.taken or left_s <= 0 or watch.draining:
                    return _taken(got)
                if not await watch.wait(left_s):
                    return _taken(got)
                if wanted.readmit is not None:
                    await wanted.readmit()  # before anything is taken: at_most_once could not give it back

    @contextmanager
    def _vigils(self, wanted: Wanted) -> Iterator[None]:
        with ExitStack() as stack:
            for partition in wanted.partitions:
                row = self._rows.of(wanted.queue, partition, wanted.group)
                stack.enter_context(row.vigil.keep(row.cell))
            yield

    async def _once(self, wanted: Wanted) -> Got:
        if len(wanted.partitions) == 1:
            (partition,) = wanted.partitions
            answer = await self._from(wanted, partition, wanted.limit)
            return Got([(partition, one) for one in answer.taken], answer.blocked)
        taken = await self._collect(wanted) if wanted.label else []
        return await self._fill(wanted, taken)

    async def _collect(self, wanted: Wanted) -> list[tuple[int, Taken]]:
        """Find what the claim_id holds in all partitions, before anything new is leased under it."""

        async def held(partition: int) -> ClaimAnswer:
            return await self._from(wanted, partition, 0)

        answers = await in_parts(held, wanted.partitions)
        pairs = zip(wanted.partitions, answers, strict=True)
        return [(partition, one) for partition, answer in pairs for one in answer.taken][: wanted.limit]

    async def _fill(self, wanted: Wanted, taken: list[tuple[int, Taken]]) -> Got:
        if len(taken) >= wanted.limit:
            return Got(taken, blocked=False)
        shown = await self._progress.look(wanted.queue, wanted.group, wanted.partitions, deadline_s=wanted.deadline_s)
        blocked = False
        for partition in self._in_turn([one for one, progress in shown.items() if progress.available]):
            left = wanted.limit - len(taken)
            if left <= 0:
                break
            known = {(one.message.message_id, one.lane) for at, one in taken if at == partition}
            try:
                answer = await self._from(wanted, partition, left + len(known))
            except (FailureError, StoreError) as error:
                if not taken or _may_have_lost(wanted, error):
                    raise
                break  # what the other partitions gave is taken: it must reach the client
            new = [one for one in answer.taken if (one.message.message_id, one.lane) not in known]
            taken += [(partition, one) for one in new]
            blocked |= answer.blocked
        return Got(taken, blocked)

    def _in_turn(self, partitions: Sequence[int]) -> list[int]:
        """Begin with another partition each time."""
        self._turn += 1
        cut = self._turn % len(partitions) if partitions else 0
        return [*partitions[cut:], *partitions[:cut]]

    async def _from(self, wanted: Wanted, partition: int, limit: int) -> ClaimAnswer:
        held_in_memory = wanted.queue.guarantee is Guarantee.AT_LEAST_ONCE
        job = ClaimJob(
            wanted.policy,
            limit=limit,
            lease_ms=wanted.lease_ms,
            label=wanted.label,
            fresh_within_s=HALF_WINDOW_S if held_in_memory else None,
        )
        row = self._rows.of(wanted.queue, partition, wanted.group)
        return await row.submit(wanted.queue, job, deadline_s=wanted.deadline_s)


def _may_have_lost(wanted: Wanted, error: Exception) -> bool:
    """Must the client hear that messages may be gone?  A lease ends; what at_most_once took is not given again."""
    if wanted.queue.guarantee is not Guarantee.AT_MOST_ONCE:
        return False
    return isinstance(error, StoreUnknownError) or (
        isinstance(error, FailureError) and error.failure.code is Code.OUTCOME_UNKNOWN
    )


def _taken(got: Got) -> list[tuple[int, Taken]]:
    if got.blocked and not got.taken:
        raise too_many_in_flight()
    return got.taken


def too_many_in_flight() -> FailureError:
    """Make the refusal of a claim while everything that may be out is out."""
    return refuse(
        Code.TOO_MANY_IN_FLIGHT, "max_in_flight", "Settle what is claimed first: no more may be in flight.", 1_000
    )


def label_of(claim_id: str | None) -> bytes:
    """Return the digest by which a claim_id's leases are found."""
    return b"" if claim_id is None else blake2b(claim_id.encode(), digest_size=LABEL_BYTES).digest()
