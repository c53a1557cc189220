"""What claims, acks and their kin answer under each guarantee, on the embedded store and on a cluster's model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from common.guarantees import Ordering
from common.protocol.failures import Code, FailureError
from common.protocol.operations import NewMessage, QueueSettings
from storage_node.delivery.row import GATHER_FROM
from storage_node.store.errors import StoreError
from storage_node.store.sqlite import open_sqlite_store
from tests.support.delivery_node import DeliveryNode, bodies_of, counting, receipts_of
from tests.support.faulty_store import Fault, FaultPlan, faulty
from tests.support.stores import MemoryCluster
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtually

LEASED = ("notes", "once")
ALL = ("notes", "once", "most")
Scene = Callable[[DeliveryNode], Awaitable[None]]
T = TypeVar("T")


def play(scene: Scene) -> None:
    """Play a scene on the model of a cluster, in virtual time."""
    loop = VirtualLoop()
    clock = LoopClock(loop)

    async def main() -> None:
        node = DeliveryNode(MemoryCluster(clock), clock=clock)
        await scene(node)
        await node.close()

    run_virtually(loop, main())


@pytest.mark.parametrize("application", ALL)
def test_every_guarantee_delivers_what_was_published(application: str, tmp_path: Path) -> None:
    """A claim, an ack where there is one, and nothing is left: on the embedded store."""

    async def main() -> None:
        store = await open_sqlite_store(tmp_path / "queuey.sqlite3")
        node = DeliveryNode(store)
        queue = await node.queue(application=application)
        await node.publish(queue, *(b"%d" % number for number in range(250)))
        seen: list[bytes] = []
        while claims := (await node.claim(queue, limit=100)).claims:
            seen += [one.message.body for one in claims]
            assert claims[0].deliveries == 1
            if application != "most":
                outcomes = await node.ack(queue, *(one.receipt for one in claims if one.receipt))
                assert set(outcomes) == {"acked"}
        assert seen == [b"%d" % number for number in range(250)]
        (group,) = await node.groups(queue)
        assert (group.backlog, group.in_flight, group.oldest_ticks) == (0, 0, None)
        await node.close()
        await store.close()

    asyncio.run(main())


def test_what_waits_behind_a_lease_is_no_backlog_once_it_is_settled() -> None:
    """Also where settled messages are kept as runs, which know no number."""

    async def scene(node: DeliveryNode) -> None:
        queue = await node.queue(application="notes")
        await node.publish(queue, *(b"%d" % number for number in range(2 * GATHER_FROM)))
        await asyncio.sleep(1)
        first, *others = receipts_of(await node.claim(queue, limit=2 * GATHER_FROM))
        assert set(await node.ack(queue, *others)) == {"acked"}
        (group,) = await node.groups(queue)
        assert (group.backlog, group.in_flight) == (0, 1)
        await node.publish(queue, b"one more")
        (group,) = await node.groups(queue)
        assert (group.backlog, group.in_flight) == (1, 1)
        assert await node.ack(queue, first) == ["acked"]

    play(scene)


def test_a_receipt_that_had_lost_never_wins_when_its_message_expires() -> None:
    """A lease that ended and was given to another, or given back, stays lost after the message has gone."""

    async def scene(node: DeliveryNode) -> None:
        queue = await node.queue(application="once")
        await node.publish(queue, NewMessage(body=b"beaten", ttl_s=100), NewMessage(body=b"given back", ttl_s=100))
        beaten, given_back = receipts_of(await node.claim(queue, lease_ms=10_000))
        assert await node.release(queue, given_back, delay_ms=50_000) == ["released"]
        await asyncio.sleep(20)
        assert len((await node.claim(queue, lease_ms=10_000)).claims) == 1
        assert await node.ack(queue, beaten, given_back) == ["lease_lost", "lease_lost"]
        await asyncio.sleep(100)
        assert (await node.claim(queue)).claims == ()
        assert await node.ack(queue, beaten, given_back) == ["lease_lost", "lease_lost"]

    play(scene)


@pytest.mark.parametrize("application", LEASED)
@pytest.mark.parametrize("partitions", [1, 2])
def test_what_expired_while_it_was_leased_hides_nothing_behind_it(application: str, partitions: int) -> None:
    """However little a claim asks for, of one partition or of several."""

    async def scene(node: DeliveryNode) -> None:
        queue = await node.queue(application=application, settings=QueueSettings(partitions=partitions))
        expiring = [NewMessage(body=b"expires", ttl_s=60, partition=1) for _ in range(3)]
        await node.publish(queue, *expiring, NewMessage(body=b"stays", partition=1))
        assert len((await node.claim(queue, lease_ms=10_000)).claims) == 4
        await asyncio.sleep(100)
        assert bodies_of(await node.claim(queue, limit=1)) == [b"stays"]

    play(scene)


def test_under_at_most_once_receipts_are_refused_before_they_are_looked_at() -> None:
    """There is no lease, so there is nothing to ack, not even in a claim."""

    async def scene(node: DeliveryNode) -> None:
        queue = await node.queue(application="most")
        for call in (node.ack(queue, "x"), node.release(queue, "x"), node.claim(queue, ack=["x"])):
            with pytest.raises(FailureError) as refusal:
                await call
            assert refusal.value.failure.code is Code.NOT_LEASED

    play(scene)


@pytest.mark.parametrize("application", LEASED)
def test_a_lease_that_ends_lets_the_next_claim_have_the_message(application: str) -> None:
    """The newer lease counts; the older receipt has lost it."""

    async def scene(node: DeliveryNode) -> None:
        queue = await node.queue(application=application)
        await node.publish(queue, b"a")
        (first,) = receipts_of(await node.claim(queue, lease_ms=1_000))
        assert bodies_of(await node.claim(queue)) == []
        await asyncio.sleep(1.1)
        again = await node.claim(queue)
        assert [one.deliveries for one in again.claims] == [2]
        assert await node.ack(queue, first) == ["lease_lost"]
        assert await node.ack(queue, *receipts_of(again)) == ["acked"]
        after = "already_acked" if application == "notes" else "lease_lost"
        assert await node.ack(queue, first) == [after]
        assert await node.ack(queue, *receipts_of(again)) == ["acked"]
        assert await node.ask(queue, *receipts_of(again)) == "acked"

    play(scene)


@pytest.mark.parametrize("application", LEASED)
def test_an_ack_is_remembered_for_ten_minutes(application: str) -> None:
    """Repeated within ten minutes it says acked again, also after position has passed; later nobody can say."""

    async def scene(node: DeliveryNode) -> None:
        queue = await node.queue(application=application)
        await node.publish(queue, b"a")
        receipts = receipts_of(await node.claim(queue))
        assert await node.ack(queue, *receipts) == ["acked"]
        await asyncio.sleep(500)
        await node.publish(queue, b"b")
        assert await node.ack(queue, *receipts_of(await node.claim(queue))) == ["acked"]
        assert await node.ack(queue, *receipts) == ["acked"]
        await asyncio.sleep(200)
        assert await node.ask(queue, *receipts) == "unknown"

    play(scene)


@pytest.mark.parametrize("application", LEASED)
def test_what_is_released_comes_again_when_it_is_due(application: str) -> None:
    """At once or later; the receipt that gave it back settles nothing any more."""

    async def scene(node: DeliveryNode) -> None:
        queue = await node.queue(application=application)
        await node.publish(queue, b"a")
        receipts = receipts_of(await node.claim(queue))
        assert await node.release(queue, *receipts, delay_ms=5_000) == ["released"]
        assert await node.ack(queue, *receipts) == ["lease_lost"]
        assert bodies_of(await node.claim(queue)) == []
        waited = await node.claim(queue, wait_ms=20_000)
        assert bodies_of(waited) == [b"a"]

    play(scene)


@pytest.mark.parametrize("application", LEASED)
def test_an_extended_lease_holds_longer_and_both_receipts_settle(application: str) -> None:
    """The lost reply of an extension costs nothing."""

    async def scene(node: DeliveryNode) -> None:
        queue = await node.queue(application=application)
        await node.publish(queue, b"a")
        (receipt,) = receipts_of(await node.claim(queue, lease_ms=2_000))
        extended = await node.extend(queue, receipt, lease_ms=60_000)
        assert extended.outcome == "extended"
        assert extended.new_receipt is not None
        await asyncio.sleep(10)
        assert bodies_of(await node.claim(queue)) == []
        assert await node.ack(queue, receipt) == ["acked"]
        assert await node.ack(queue, extended.new_receipt) == ["acked"]

    play(scene)


@pytest.mark.parametrize("application", LEASED)
def test_a_claim_id_finds_its_messages_again_in_all_partitions(application: str) -> None:
    """A claim whose answer was lost is repeated: the same messages, then as many more as fit."""

    async def scene(node: DeliveryNode) -> None:
        queue = await node.queue(application=application, settings=QueueSettings(partitions=3))
        for partition in (1, 2, 3):
            await node.publish(queue, b"a%d" % partition, b"b%d" % partition, partition=partition)
        first = await node.claim(queue, limit=3, claim_id="mine")
        again = await node.claim(queue, limit=3, claim_id="mine")
        assert sorted(receipts_of(again)) == sorted(receipts_of(first))
        more = await node.claim(queue, limit=5, claim_id="mine")
        assert set(receipts_of(first)) < set(receipts_of(more))
        assert len(more.claims) == 5

    play(scene)


@pytest.mark.parametrize("application", LEASED)
def test_a_rewind_ends_leases_and_delivers_all_again(application: str) -> None:
    """A receipt of before the rewind settles nothing after it."""

    async def scene(node: DeliveryNode) -> None:
        queue = await node.queue(application=application)
        await node.publish(queue, b"a", b"b")
        first = await node.claim(queue)
        assert await node.ack(queue, receipts_of(first)[0]) == ["acked"]
        await node.seek(queue, "start")
        assert await node.ack(queue, receipts_of(first)[1]) == ["lease_lost"]
        assert bodies_of(await node.claim(queue)) == [b"a", b"b"]

    play(scene)


def test_a_group_made_at_the_end_begins_there() -> None:
    """What was there before does not come; what comes after does."""

    async def scene(node: DeliveryNode) -> None:
        queue = await node.queue(application="once")
        await node.publish(queue, b"before")
        await node.seek(queue, "end", group="late")
        await node.publish(queue, b"after")
        assert bodies_of(await node.claim(queue, group="late")) == [b"after"]
        assert bodies_of(await node.claim(queue, group="early")) == [b"before", b"after"]

    play(scene)


@pytest.mark.parametrize("application", LEASED)
def test_too_many_in_flight_is_said_only_when_nothing_fits(application: str) -> None:
    """A claim returns what fits; the next one is refused until something is settled."""

    async def scene(node: DeliveryNode) -> None:
        queue = await node.queue(application=application, settings=QueueSettings(max_in_flight=3))
        await node.publish(queue, *(b"%d" % number for number in range(5)))
        first = await node.claim(queue, limit=10)
        assert len(first.claims) == 3
        with pytest.raises(FailureError) as refusal:
            await node.claim(queue)
        assert refusal.value.failure.code is Code.TOO_MANY_IN_FLIGHT
        await node.ack(queue, *receipts_of(first))
        await asyncio.sleep(6)
        assert bodies_of(await node.claim(queue)) == [b"3", b"4"]

    play(scene)


@pytest.mark.parametrize("application", ALL)
def test_a_delayed_message_is_claimed_when_it_is_due(application: str) -> None:
    """A waiting claim gets it then, and costs no entry before."""

    async def scene(node: DeliveryNode) -> None:
        queue = await node.queue(application=application)
        await node.publish(queue, NewMessage(body=b"later", delay_ms=30_000))
        assert bodies_of(await node.claim(queue)) == []
        assert bodies_of(await node.claim(queue, wait_ms=60_000)) == [b"later"]
        assert 29 < node.clock.monotonic_s() < 33

    play(scene)


@pytest.mark.parametrize("application", LEASED)
def test_a_message_that_fails_too_often_is_buried_and_can_be_sent_back(application: str) -> None:
    """It goes to the dead-letter queue with its story, and back to the group that failed only."""

    async def scene(node: DeliveryNode) -> None:
        dead = await node.queue("dead", application=application)
        settings = QueueSettings(max_deliveries=2, dead_letter_queue="dead")
        queue = await node.queue(application=application, settings=settings)
        await node.publish(queue, b"poison")
        for _ in range(2):
            await node.release(queue, *receipts_of(await node.claim(queue)))
        assert bodies_of(await node.claim(queue)) == []
        (letter,) = (await node.claim(dead, wait_ms=10_000)).claims
        assert letter.message.body == b"poison"
        assert letter.message.attributes["deliveries"] == "2"
        assert letter.message.attributes["source_queue"] == "inbox"
        redriven = await node.redrive(dead)
        assert (redriven.redriven, redriven.remaining) == (1, 0)
        assert bodies_of(await node.claim(queue, wait_ms=10_000)) == [b"poison"]
        assert bodies_of(await node.claim(queue, group="other")) == [b"poison"], "the first one, not the redriven"

    play(scene)


@pytest.mark.parametrize("application", LEASED)
def test_a_strict_partition_gives_to_one_at_a_time(application: str) -> None:
    """Until all of a claim is settled, nobody gets the rest; what was given back comes first."""

    async def scene(node: DeliveryNode) -> None:
        queue = await node.queue(application=application, settings=QueueSettings(ordering=Ordering.STRICT))
        await node.publish(queue, *(b"%d" % number for number in range(4)))
        first = await node.claim(queue, limit=2)
        assert bodies_of(first) == [b"0", b"1"]
        assert bodies_of(await node.claim(queue)) == []
        receipts = receipts_of(first)
        await node.ack(queue, receipts[1])
        await node.release(queue, receipts[0])
        assert bodies_of(await node.claim(queue, limit=2)) == [b"0", b"2"]

    play(scene)


@pytest.mark.parametrize("application", LEASED)
def test_ack_and_the_next_claim_go_in_one_call(application: str) -> None:
    """Also where ``max_in_flight`` lets the next message go only because of the ack."""

    async def scene(node: DeliveryNode) -> None:
        queue = await node.queue(application=application, settings=QueueSettings(ordering=Ordering.STRICT))
        await node.publish(queue, b"a", b"b")
        first = await node.claim(queue, limit=1)
        second = await node.claim(queue, limit=1, ack=receipts_of(first))
        assert [one.outcome for one in second.acked] == ["acked"]
        assert bodies_of(second) == [b"b"]

    play(scene)


def test_a_drained_node_leaves_its_leases_to_the_next() -> None:
    """What is leased in memory is written when the node stops; the next one honours it, and its count."""
    loop = VirtualLoop()
    clock = LoopClock(loop)

    async def main() -> None:
        store = MemoryCluster(clock)
        node = DeliveryNode(store, clock=clock)
        queue = await node.queue()
        await node.publish(queue, b"a")
        receipts = receipts_of(await node.claim(queue, lease_ms=10_000))
        await node.close()
        other = DeliveryNode(store, clock=clock, seed=5)
        assert bodies_of(await other.claim(queue)) == []
        assert await other.ack(queue, *receipts) == ["acked"]
        await other.close()

    run_virtually(loop, main())


@pytest.mark.parametrize("clients", [1, 40])
def test_one_write_serves_any_number_of_clients(clients: int, tmp_path: Path) -> None:
    """exactly_once: one conditional write per round of claims and one per round of acks, whoever asks."""

    async def main() -> None:
        real = await open_sqlite_store(tmp_path / "queuey.sqlite3")
        store, counter = counting(real)
        node = DeliveryNode(store)
        queue = await node.queue(application="once")
        await node.publish(queue, *(b"%d" % number for number in range(2 * clients + 1)))
        await node.ack(queue, *receipts_of(await node.claim(queue, limit=1)))
        counter.calls.clear()
        claims = await asyncio.gather(*(node.claim(queue, limit=2) for _ in range(clients)))
        assert counter.calls["swap_delivery"] == 1
        assert len({receipt for one in claims for receipt in receipts_of(one)}) == 2 * clients
        await asyncio.gather(*(node.ack(queue, *receipts_of(one)) for one in claims))
        assert counter.calls["swap_delivery"] == 2
        await node.close()
        await real.close()

    asyncio.run(main())


def test_waiting_clients_cost_no_store_operation(tmp_path: Path) -> None:
    """A thousand idle claims ask the store nothing; a publish wakes them, and those that left are forgotten."""

    async def main() -> None:
        real = await open_sqlite_store(tmp_path / "queuey.sqlite3")
        store, counter = counting(real)
        node = DeliveryNode(store)
        queue = await node.queue(application="once")
        tasks = [asyncio.create_task(node.claim(queue, limit=1, wait_ms=30_000)) for _ in range(1_000)]
        row = node.delivery.rows.of(queue, 1, "default")
        async with asyncio.timeout(10):
            while row.vigil.waiting < 1_000 or row.busy:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        counter.calls.clear()
        await asyncio.sleep(0.3)
        assert counter.calls.total() <= 1
        await node.publish(queue, b"a")
        done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert [bodies_of(task.result()) for task in done] == [[b"a"]]
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        assert row.vigil.waiting == 0
        await node.close()
        await real.close()

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("application", ALL)
def test_each_guarantee_holds_on_a_store_that_fails_by_plan(application: str, seed: int) -> None:
    """Acknowledged and claimed through a store that fails, dawdles or does not say: as the guarantee's row says."""
    loop = VirtualLoop()
    clock = LoopClock(loop)
    weights = {
        Fault.NONE: 10,
        Fault.SLOW: 1,
        Fault.FAILED: 1,
        Fault.LOST_REQUEST: 1,
        Fault.LOST_ANSWER: 1,
        Fault.LATE: 1,
    }

    async def main() -> None:
        plan = FaultPlan(seed, weights)
        store, wrapper = faulty(MemoryCluster(clock), plan)
        node = DeliveryNode(store, clock=clock, seed=seed)
        queue = await _until_done(lambda: node.queue(application=application))
        stored: set[bytes] = set()
        for number in range(20):
            body = b"%d" % number
            published = await _until_done(partial(node.publish, queue, body, attempt=body.decode()))
            stored |= {body} if published.results[0].failure is None else set()
        seen: list[bytes] = []
        won: list[bytes] = []
        for number in range(60):
            if number == 40:
                plan.heal()
            try:
                claims = await node.claim(queue, limit=5, lease_ms=2_000)
            except (FailureError, StoreError):
                continue
            finally:
                await asyncio.sleep(1)
            seen += bodies_of(claims)
            for body, receipt in zip(bodies_of(claims), receipts_of(claims), strict=application != "most"):
                outcomes = await _until_done(partial(node.ack, queue, receipt))
                won += [body] if outcomes == ["acked"] else []
        if application == "most":
            assert len(seen) == len(set(seen))
        else:
            assert stored <= set(won)
        if application == "once":
            assert len(won) == len(set(won))
        await wrapper.settle()
        await node.close()

    run_virtually(loop, main())


async def _until_done(call: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            return await call()
        except (FailureError, StoreError):
            await asyncio.sleep(0.1)
