"""Simulated clients: they publish, claim, ack, follow, rewind, and write down what they saw."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from common.guarantees import Guarantee
from common.protocol import operations as ops
from common.protocol.failures import Code, FailureError
from tests.simulation.loops import World
from tests.simulation.nodes import Network
from tests.simulation.scenario import APPLICATION, GROUP, HOSTILE_S, QUEUE, Scenario
from tests.simulation.upheavals import GoneError, redrive_all, upheavals_of
from tests.support.checkers import Acked, Delivered, Followed, History, Outcome, Published

CALLER = ops.Caller(principals=(f"app:{APPLICATION}",))
QUIET_CLAIMS = 4
"""Empty claims in a row, in the quiet time, after which a consumer is done."""
GIVE_UP_S = HOSTILE_S + 240.0
DUE_LATEST_S = 15.0
"""A delayed message is surely due so long after its publish."""

ACK_WAIT_S = 6.0
"""Seconds that a receipt waits for a claim that acks it."""

GONE = frozenset({Code.QUEUE_NOT_FOUND, Code.BAD_RECEIPT})


class Clients:
    """All clients of one run."""

    def __init__(self, scenario: Scenario, world: World, network: Network, rng: random.Random) -> None:
        self.scenario = scenario
        self.world = world
        self.network = network
        self.rng = rng
        self.history = History(scenario.guarantee, strict=scenario.strict, calm=scenario.calm)
        self.names: dict[str, Any] = {"application": APPLICATION, "caller": CALLER, "queue": QUEUE}
        self.partitions = scenario.partitions
        self.incarnation = 0
        """Odd while the queue is being deleted and made again."""
        self._claims = 0
        self._to_ack: dict[str, asyncio.Future[str]] = {}
        """Receipts for the next claim to ack, and who waits for what becomes of them."""
        self._ackers: set[asyncio.Task[None]] = set()

    @property
    def now_s(self) -> float:
        return self.world.now_s

    @property
    def hostile(self) -> bool:
        return self.now_s < HOSTILE_S

    async def run(self) -> None:
        """Do everything; ends when nothing is left to claim."""
        scenario = self.scenario
        await self.ask(ops.CreateQueue(**self.names, settings=scenario.settings))
        if scenario.max_deliveries:
            dead = {**self.names, "queue": "dead"}
            await self.ask(ops.CreateQueue(**dead, settings=ops.QueueSettings()))
        loop = asyncio.get_running_loop()
        bursts = [self.rng.uniform(0, HOSTILE_S * 0.8) for _ in range(3)]
        publishers = [loop.create_task(self._publish(n, self.rng.choice(bursts))) for n in range(scenario.messages)]
        others = [loop.create_task(self.follow(p)) for p in range(1, scenario.partitions + 1)]
        if scenario.seek:
            others.append(loop.create_task(self._rewind()))
        others += [loop.create_task(upheaval) for upheaval in upheavals_of(self)]
        if scenario.end:
            await asyncio.sleep(self.rng.uniform(0, HOSTILE_S / 2))
            await self._begin_at_end()
        await self._consume_all()
        await asyncio.gather(*publishers, *others)
        while scenario.redrive and not await redrive_all(self):
            await self._consume_all()

    async def _consume_all(self) -> None:
        """Claim until nothing more comes."""
        loop = asyncio.get_running_loop()
        await asyncio.gather(*[loop.create_task(self._consume()) for _ in range(2)])
        await asyncio.gather(*self._ackers)

    async def ask(self, operation: ops.Operation) -> Any:
        """Ask until it is answered.

        Raises:
            GoneError: the queue, or the one that a receipt is of, is not there any more.
        """
        while True:
            try:
                return await self.network.call(operation, fail_over=True)
            except FailureError as error:
                _refuse_faults(error)
                if self.scenario.recreate and error.failure.code in GONE:
                    raise GoneError from error
                await asyncio.sleep(0.2)

    # publishing

    async def _publish(self, number: int, burst_s: float) -> None:
        scenario, rng = self.scenario, self.rng
        await asyncio.sleep(max(burst_s + rng.uniform(0, 1.5) - self.now_s, 0))
        once = scenario.guarantee is Guarantee.EXACTLY_ONCE
        record = Published(b"m%d" % number, self.now_s, keyed=rng.random() < scenario.keyed)
        record.partition = rng.randint(1, self.partitions)
        record.ttl_s = rng.choice((3, 6)) if scenario.ttl and not record.keyed and rng.random() < 0.4 else 0
        delay_ms = rng.choice(scenario.delay_ms) if scenario.delays and rng.random() < 0.4 else None
        record.due_s = self.now_s + DUE_LATEST_S if delay_ms else 0.0
        self.history.published.append(record)
        message = ops.NewMessage(
            body=record.body,
            delay_ms=delay_ms,
            ttl_s=round(record.ttl_s) or None,
            idempotency_key=record.body.decode() if record.keyed else None,
        )
        twins = 0
        for attempt in range(4 if record.keyed else 1):
            operation = ops.Publish(
                **self.names,
                messages=(message,),
                partition=record.partition if not record.keyed else rng.randint(1, self.partitions),
                attempt_key=f"{number}-{attempt}",
            )
            if record.keyed and rng.random() < 0.3:
                twins += 1
                twin = asyncio.get_running_loop().create_task(self._publish_twin(operation, record))
                self._ackers.add(twin)
                twin.add_done_callback(self._ackers.discard)
            outcome = await self._publish_once(operation, record, fail_over=once or record.keyed)
            record.outcome = Outcome.OK if record.answers else Outcome.UNKNOWN if twins else outcome
            if not record.keyed or rng.random() < 0.4 or record.outcome is Outcome.FAILED:
                return
            await asyncio.sleep(rng.uniform(0.1, 15))

    async def _publish_twin(self, operation: ops.Publish, record: Published) -> None:
        """Send it once more while the first call is still waiting, as an impatient client does."""
        await asyncio.sleep(self.rng.uniform(0, 6))
        if await self._publish_once(operation, record, fail_over=True) is Outcome.OK:
            record.outcome = Outcome.OK

    async def _publish_once(self, operation: ops.Publish, record: Published, *, fail_over: bool) -> Outcome:
        earlier = record.outcome is Outcome.UNKNOWN and record.ended_s > 0
        try:
            answer: ops.Published = await self.network.call(operation, fail_over=fail_over)
            result = answer.results[0]
        except FailureError as error:
            result = ops.Stored(failure=error.failure)
        if not record.answers:
            record.ended_s = self.now_s
        if result.failure is None:
            record.message_id, record.partition = result.message_id, result.partition
            record.due_s = max(record.due_s, self.now_s + DUE_LATEST_S) if record.due_s else 0.0
            record.answers.add((result.partition, result.message_id))
            return Outcome.OK
        assert result.failure.code is not Code.INTERNAL, result.failure
        is_unknown = result.failure.code in (Code.OUTCOME_UNKNOWN, Code.QUEUE_NOT_FOUND)
        return Outcome.UNKNOWN if earlier or is_unknown else Outcome.FAILED

    # consuming

    async def _consume(self) -> None:
        quiet = 0
        while quiet < QUIET_CLAIMS:
            assert self.now_s < GIVE_UP_S, "it never ends"
            await asyncio.sleep(self.rng.uniform(0.05, 1.0) if self.hostile else 2.5)
            got = await self._claim()
            leftover = self.hostile or got or self._ackers
            quiet = 0 if leftover or self.now_s < HOSTILE_S + 20 else quiet + 1

    async def _claim(self) -> bool:
        scenario, rng = self.scenario, self.rng
        self._claims += 1
        claim_id = f"c{self._claims}" if scenario.leases and rng.random() < 0.7 else None
        acks, self._to_ack = self._to_ack, {}
        wait_ms = rng.choice((0, 0, 1_500)) if self.hostile else 0
        operation = ops.Claim(
            **self.names,
            group=GROUP,
            limit=rng.randint(1, 4),
            lease_ms=None,
            wait_ms=wait_ms,
            claim_id=claim_id,
            ack=tuple(acks),
        )
        answer = None
        try:
            answer = await self._claim_until_answered(operation)
        finally:
            _tell(acks, [one.outcome for one in answer.acked] if answer is not None else [])
        return answer is None or bool(answer.claims)

    async def _claim_until_answered(self, operation: ops.Claim) -> ops.Claims | None:
        """Claim, again under the same claim_id where the outcome is not known; ``None``: it was refused."""
        began_s, number = self.now_s, self._claims
        for _ in range(3 if operation.claim_id else 1):
            try:
                answer: ops.Claims = await self.network.call(operation, wait_ms=operation.wait_ms)
            except FailureError as error:
                _refuse_faults(error)
                if error.failure.code in (Code.OUTCOME_UNKNOWN, Code.STORE_UNAVAILABLE, Code.UNAVAILABLE):
                    self.history.claims_unknown += error.failure.code is Code.OUTCOME_UNKNOWN
                    await asyncio.sleep(self.rng.uniform(0.1, 2))
                    continue
                return None
            self._receive(answer, began_s, number)
            return answer
        return None

    def _receive(self, answer: ops.Claims, began_s: float, number: int) -> None:
        for one in answer.claims:
            record = Delivered(
                began_s=began_s,
                ended_s=self.now_s,
                partition=one.message.partition,
                message_id=one.message.message_id,
                body=one.message.body,
                receipt=one.receipt,
                delivery=one.deliveries,
                lease_s=self.scenario.lease_s,
                claim=number,
            )
            self.history.delivered.append(record)
            idle = 0.6 if self.scenario.redrive else 0.15
            if one.receipt is not None and not (self.hostile and self.rng.random() < idle):
                task = asyncio.get_running_loop().create_task(self._work(record, one.receipt))
                self._ackers.add(task)
                task.add_done_callback(self._ackers.discard)

    async def _work(self, record: Delivered, receipt: str) -> None:
        try:
            await self._settle(record, receipt)
        except GoneError:
            return

    async def _settle(self, record: Delivered, receipt: str) -> None:
        rng, lease_s = self.rng, self.scenario.lease_s
        if self.hostile:
            await asyncio.sleep(rng.choice((0.05, rng.uniform(0, 2 * lease_s), rng.uniform(5, 12))))
        if self.scenario.give_back and self.hostile and rng.random() < 0.3:
            self.history.extended.add(record.message_id)
            receipt = await self._hold_or_release(receipt)
            if not receipt:
                return
            await asyncio.sleep(rng.uniform(0, lease_s))
        while True:
            began_s = self.now_s
            outcome: str = Outcome.UNKNOWN  # where the queue is gone before it is answered
            try:
                outcome = await self._ack(receipt)
            finally:
                record_of = Acked(began_s, self.now_s, receipt, record.message_id, record.delivery, outcome)
                self.history.acked.append(record_of)
            if not (self.hostile and rng.random() < 0.3):
                return
            await asyncio.sleep(rng.uniform(0, 15))

    async def _ack(self, receipt: str) -> str:
        """Ack along with the next claim or, where that does not tell what became of it, by itself."""
        if self.scenario.acks_with_claims and self.rng.random() < 0.5:
            told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            self._to_ack[receipt] = told
            await asyncio.wait([told], timeout=ACK_WAIT_S)
            self._to_ack.pop(receipt, None)
            if told.done() and told.result():
                return told.result()
        answer = await self.ask(ops.Ack(**self.names, receipts=(receipt,)))
        outcome: str = answer.results[0].outcome
        return outcome

    async def _hold_or_release(self, receipt: str) -> str:
        if self.rng.random() < 0.5:
            delay_ms = self.rng.choice((0, 4_000))
            await self.ask(ops.Release(**self.names, receipts=(receipt,), delay_ms=delay_ms))
            return ""
        answer = await self.ask(ops.Extend(**self.names, receipts=(receipt,), lease_ms=None))
        return answer.results[0].new_receipt or receipt

    # looking on

    async def follow(self, partition: int) -> None:
        """Read on and on, from where it was told to be complete."""
        followed, of = self._followed(partition), self.incarnation
        while self.now_s < HOSTILE_S + 15:
            await asyncio.sleep(self.rng.uniform(0.1, 3))
            operation = ops.Read(
                **self.names,
                partitions=(partition,),
                after=followed.complete_until or None,
                limit=1_000,
            )
            try:
                answer: ops.MessagesRead = await self.network.call(operation)
            except FailureError:
                continue
            if of != self.incarnation or of % 2:  # the queue was deleted meanwhile: this speaks of either
                followed, of = self._followed(partition), self.incarnation
                continue
            followed.seen.update(message.message_id for message in answer.messages)
            told = answer.complete_until.get(partition, b"")
            followed.complete_until = max(followed.complete_until, told)

    def _followed(self, partition: int) -> Followed:
        followed = Followed(partition, from_s=self.now_s if self.incarnation else 0.0)
        self.history.followed.append(followed)
        return followed

    async def _rewind(self) -> None:
        for at in sorted(self.rng.uniform(0.3, 1.0) for _ in range(self.scenario.rewinds)):
            await asyncio.sleep(max(at * HOSTILE_S - self.now_s, 0))
            sent_s = self.now_s
            await self._seek("start")
            self.history.sought_s = (sent_s, self.now_s)

    async def _begin_at_end(self) -> None:
        operation = ops.SeekGroup(**self.names, group=GROUP, position="end")
        while True:
            try:
                await self.network.call(operation)
                break
            except FailureError as error:
                self.history.moved_twice |= error.failure.code is Code.OUTCOME_UNKNOWN
                await asyncio.sleep(0.2)
        self.history.from_s = self.now_s

    async def _seek(self, position: str) -> None:
        await self.ask(ops.SeekGroup(**self.names, group=GROUP, position=position))


def _tell(acks: dict[str, asyncio.Future[str]], outcomes: Sequence[str]) -> None:
    """Tell what became of receipts; an empty text where nobody knows."""
    for number, told in enumerate(acks.values()):
        if not told.done():
            told.set_result(outcomes[number] if outcomes else "")


def _refuse_faults(error: FailureError) -> None:
    """Let a fault of the service end the run."""
    if error.failure.code is Code.INTERNAL:
        raise error
