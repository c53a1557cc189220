"""The delivery state against a naive model: one word per message and no cleverness."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from common.identifiers import LOWEST, MessageId, id_before, make_id
from storage_node.delivery import moves
from storage_node.delivery.encoding import decode, encode
from storage_node.delivery.lifecycle import Stage
from storage_node.delivery.state import (
    ACK_MEMORY_TICKS,
    LATE_TICKS,
    Lease,
    Standing,
    State,
    ready_ids,
    stage_of,
    standing,
)
from storage_node.store.interface import Lane
from tests.support.clock import START_TICKS

IDS = [make_id(START_TICKS + number, b"writer-%d" % (number % 2)) for number in range(12)]
NUMBERS = st.integers(0, len(IDS) - 1)
LEASE_TICKS = 30 * 10_000_000
OLD_TICKS = ACK_MEMORY_TICKS + 2 * LATE_TICKS


@dataclass
class Naive:
    """One message as a child would tell it."""

    word: str = "new"
    until: int = 0
    token: bytes = b""
    deliveries: int = 0


class DeliveryMachine(RuleBasedStateMachine):
    """Moves both, and compares what they say."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START_TICKS + 10_000_000
        self.state = State()
        self.naive = [Naive() for _ in IDS]
        self.leases: list[tuple[int, Lease]] = []
        self.tokens = 0
        self.last_settled = 0

    def _token(self) -> bytes:
        self.tokens += 1
        token = self.tokens.to_bytes(6, "big")
        self.state.made.add(token)
        return token

    @rule(seconds=st.integers(1, 40))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * 10_000_000

    @rule(number=NUMBERS)
    def claim(self, number: int) -> None:
        one = self.naive[number]
        free = one.word == "new" or (one.word in ("leased", "waiting") and one.until <= self.now)
        if one.word != "new":
            assert (IDS[number] in ready_ids(self.state, Lane.LIVE, now=self.now, limit=99)) == free
        if not free:
            return
        token, until = self._token(), self.now + LEASE_TICKS
        entry = moves.lease(self.state, Lane.LIVE, IDS[number], until=until, token=token)
        self.naive[number] = Naive("leased", until, token, one.deliveries + 1)
        assert entry.deliveries == one.deliveries + 1
        lease = Lease(IDS[number], Lane.LIVE, token, entry.deliveries, self.state.epoch, until)
        self.leases.append((number, lease))

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        number, lease = data.draw(st.sampled_from(self.leases))
        one = self.naive[number]
        found = standing(self.state, lease, now=self.now)
        if lease.epoch != self.state.epoch:
            assert found is Standing.LOST
        elif one.word == "settled":
            won = one.token == lease.token
            assert found in ((Standing.WON, Standing.OLD) if won else (Standing.BEATEN, Standing.OLD))
            if won and self.now <= lease.until_ticks and self.now - one.until < ACK_MEMORY_TICKS:
                assert found is Standing.WON, "a repeated ack says acked again for ten minutes"
        elif one.word == "leased" and one.token == lease.token:
            assert found is Standing.STANDS
            moves.settle(self.state, lease, now=self.now)
            self.naive[number] = Naive("settled", self.now, lease.token, one.deliveries)
        else:
            assert found in (Standing.LOST, Standing.RELEASED)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), seconds=st.integers(0, 20))
    def release(self, data: st.DataObject, seconds: int) -> None:
        number, lease = data.draw(st.sampled_from(self.leases))
        one = self.naive[number]
        if standing(self.state, lease, now=self.now) is Standing.STANDS:
            due = self.now + seconds * 10_000_000
            moves.release(self.state, lease, due=due)
            self.naive[number] = Naive("waiting", due, lease.token, one.deliveries)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def extend(self, data: st.DataObject) -> None:
        number, lease = data.draw(st.sampled_from(self.leases))
        if standing(self.state, lease, now=self.now) is Standing.STANDS:
            until = self.now + 2 * LEASE_TICKS
            moves.extend(self.state, lease, until=until)
            self.naive[number].until = until

    @rule(upto=NUMBERS)
    def position_moves(self, upto: int) -> None:
        before = self.state.lanes[Lane.LIVE].position
        listed = [message_id for message_id in IDS if message_id > before]
        moves.advance(self.state, Lane.LIVE, listed, sure_until=IDS[upto])
        after = self.state.lanes[Lane.LIVE].position
        assert before <= after <= max(before, IDS[upto])
        for number, one in enumerate(self.naive):
            assert one.word != "new" or IDS[number] > after, "position never passes what is new"

    @rule()
    def memory_ends(self) -> None:
        moves.sweep(self.state, now=self.now)

    @rule(number=NUMBERS)
    def rewind(self, number: int) -> None:
        place = id_before(IDS[number])
        epoch = self.state.epoch
        self.state = moves.seek(self.state, (place, LOWEST))
        assert self.state.epoch == epoch + 1
        self.naive = [Naive() if n >= number else Naive("settled") for n in range(len(IDS))]
        self.leases = self.leases[-6:]

    @rule()
    def written_and_read(self) -> None:
        data = encode(self.state)
        self.state = decode(data, self.state.made)
        assert encode(self.state) == data

    @invariant()
    def both_say_the_same(self) -> None:
        words = {
            Stage.NEW: "new",
            Stage.LEASED: "leased",
            Stage.WAITING: "waiting",
            Stage.SETTLED: "settled",
            Stage.PASSED: "settled",
        }
        told = [words[stage_of(self.state, Lane.LIVE, message_id)] for message_id in IDS]
        assert told == [one.word for one in self.naive]
        assert self.state.leased == told.count("leased")


TestDeliveryState = DeliveryMachine.TestCase
TestDeliveryState.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("upto", [2, 9])
def test_a_run_stands_for_neighbours_of_one_writer(upto: int) -> None:
    """Settled ids that one writer made in a row are kept as one run, and are settled all the same."""
    state = State()
    own: list[MessageId] = [make_id(START_TICKS + number, b"writer-1") for number in range(10)]
    for message_id in own[: upto + 1]:
        moves.take(state, Lane.LIVE, message_id, now=START_TICKS)
    moves.gather_run(state, Lane.LIVE, own)
    assert len(state) == 1
    state = decode(encode(state))
    stages = [stage_of(state, Lane.LIVE, message_id) for message_id in own]
    assert stages == [Stage.PASSED] * (upto + 1) + [Stage.NEW] * (9 - upto)
