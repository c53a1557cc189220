"""The rules of attempts, without a socket: what may be asked twice, and what a call ends with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.routing import (
    PATIENCE_S,
    RESTART_PATIENCE_S,
    Action,
    Call,
    Lost,
    Outcome,
    Pause,
    Send,
    rank,
    route,
    routing_key,
)
from common.limits import CONNECT_DEADLINE_MS, REQUEST_DEADLINE_MS
from common.protocol.failures import Code, Failure, FailureError
from common.protocol.operations import Caller, DescribeQueue, Done, ListMembers, ListQueues, Member

MOVED = Failure(Code.MOVED, "node", "is going away")
OVERLOADED = Failure(Code.OVERLOADED, "node", "has too much to do", 1_000)


def member(number: int) -> Member:
    return Member(member_id=f"m{number}", address=f"tcp://n:{number}", state="serving", started_ms=0, version="1")


class World:
    """Plays nodes: ``play`` says what comes of each send and how many seconds it took."""

    def __init__(self, nodes: int, play: Callable[[Send], tuple[Outcome, float]]) -> None:
        self.now_s = 100.0
        self.members: Sequence[Member] = [member(number) for number in range(nodes)]
        self.sent: list[Send] = []
        self._play = play

    def run(self, **change: object) -> object:
        call = Call(("notes", "inbox"), fail_over=False, reads_only=False, wait_s=0.0, deadline_s=self.now_s + 10)
        journey = route(call._replace(**change), members=lambda: self.members, now_s=lambda: self.now_s)  # type: ignore[arg-type]
        action: Action = next(journey)
        for _ in range(10_000):
            try:
                action = journey.send(self._outcome(action))
            except StopIteration as end:
                return end.value
        raise AssertionError("it never ends")

    def failure(self, **change: object) -> Failure:
        with pytest.raises(FailureError) as caught:
            self.run(**change)
        return caught.value.failure

    def _outcome(self, action: Action) -> Outcome:
        if isinstance(action, Pause):
            assert action.until_s >= self.now_s
            self.now_s = max(action.until_s, self.now_s + 0.001)
            return None
        self.sent.append(action)
        outcome, seconds = self._play(action)
        self.now_s += seconds
        return outcome


def always(outcome: Outcome, seconds: float = 0.0) -> Callable[[Send], tuple[Outcome, float]]:
    return lambda _: (outcome, seconds)


def by_turn(*outcomes: Outcome) -> Callable[[Send], tuple[Outcome, float]]:
    left = list(outcomes)
    return lambda _: (left.pop(0), 0.001)


@pytest.mark.parametrize("lost", [Lost.TIMED_OUT, Lost.PEER_GONE])
def test_what_a_socket_took_is_never_sent_again(lost: Lost) -> None:
    """A change without an answer has an unknown outcome, and one attempt."""
    world = World(3, always(lost))
    assert world.failure().code is Code.OUTCOME_UNKNOWN
    assert len(world.sent) == 1


@pytest.mark.parametrize("outcome", [Lost.NOT_SENT, MOVED])
def test_what_was_certainly_not_begun_goes_to_the_next_node(outcome: Outcome) -> None:
    """No socket took it, or the node moved on: another node is asked, in the order of the hash."""
    world = World(3, by_turn(outcome, outcome, Done()))
    assert world.run() == Done()
    order = rank(("notes", "inbox"), world.members)
    assert [send.member for send in world.sent] == order


def test_a_refusal_is_the_answer() -> None:
    """An overloaded node is not relieved by overloading the next one."""
    world = World(3, always(OVERLOADED))
    assert world.failure() == OVERLOADED
    assert len(world.sent) == 1


@pytest.mark.parametrize("lost", [Lost.TIMED_OUT, Lost.PEER_GONE])
def test_what_may_be_done_twice_goes_on_to_another_node(lost: Lost) -> None:
    """Reads, and publishes whose every message is keyed, survive the loss of a node."""
    world = World(2, by_turn(lost, Done()))
    assert world.run(fail_over=True) == Done()
    assert world.sent[0].member != world.sent[1].member


def test_a_node_that_timed_out_is_not_asked_twice() -> None:
    """It had its time; when all had theirs the call ends."""
    world = World(2, always(Lost.TIMED_OUT, 2.0))
    assert world.failure(fail_over=True).code is Code.OUTCOME_UNKNOWN
    assert len(world.sent) == 2


def test_a_lost_change_never_ends_as_certainly_not_done() -> None:
    """One attempt got lost, then no node could be reached: still unknown; for a read it is just unavailable."""
    for reads_only, code in ((False, Code.OUTCOME_UNKNOWN), (True, Code.UNAVAILABLE)):
        first = iter([Lost.PEER_GONE])
        world = World(2, lambda _, first=first: (next(first, Lost.NOT_SENT), 0.0))  # type: ignore[misc]
        assert world.failure(fail_over=True, reads_only=reads_only).code is code


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_node_that_said_goodbye_is_waited_for(nodes: int) -> None:
    """It may be restarted: the call waits for most of its time, and is then certainly not begun."""
    world = World(nodes, always(MOVED))
    began_s = world.now_s
    assert world.failure().code is Code.UNAVAILABLE
    assert RESTART_PATIENCE_S <= world.now_s - began_s < REQUEST_DEADLINE_MS / 1000


@pytest.mark.parametrize("nodes", [0, 1, 3])
def test_without_a_node_the_call_gives_up_in_time(nodes: int) -> None:
    """It waits for a node to come back, but answers within the bound for connecting."""
    world = World(nodes, always(Lost.NOT_SENT))
    began_s = world.now_s
    failure = world.failure()
    assert failure.code is Code.UNAVAILABLE
    assert failure.retry_after_ms > 0
    assert PATIENCE_S <= world.now_s - began_s < CONNECT_DEADLINE_MS / 1000


def test_a_node_that_comes_back_meanwhile_is_used() -> None:
    """Members are looked at anew in every round."""
    world = World(0, always(Done()))

    def join(_: object) -> None:
        world.members = [member(7)]

    call = Call(("notes", "inbox"), fail_over=False, reads_only=False, wait_s=0, deadline_s=110)
    journey = route(call, members=lambda: world.members, now_s=lambda: world.now_s)
    assert isinstance(next(journey), Pause)
    join(None)
    action = journey.send(None)
    assert isinstance(action, Send)
    assert action.member == member(7)


def test_a_fail_over_keeps_time_for_the_other_node() -> None:
    """A first node that is stuck takes half of what is left, its own wait not counted; a last one takes all."""
    world = World(2, always(Lost.TIMED_OUT))
    world.failure(fail_over=True, wait_s=20.0, deadline_s=world.now_s + 30)
    assert [round(send.until_s - 100) for send in world.sent] == [25, 30]


def test_a_change_has_all_its_time_at_its_only_node() -> None:
    """What can't go elsewhere waits until its deadline."""
    world = World(2, always(Lost.TIMED_OUT))
    world.failure()
    assert world.sent[0].until_s == 110


@given(st.sets(st.integers(0, 1_000), min_size=2, max_size=12), st.text(max_size=20), st.data())
def test_a_node_that_leaves_moves_only_its_own_queues(numbers: set[int], queue: str, data: st.DataObject) -> None:
    """Rendezvous hashing: without one member the order of the others stays, whoever lists them how."""
    members = [member(number) for number in sorted(numbers)]
    order = rank(("notes", queue), members)
    gone = data.draw(st.sampled_from(members))
    left = data.draw(st.permutations([one for one in members if one != gone]))
    assert rank(("notes", queue), left) == [one for one in order if one != gone]


def test_queues_spread_over_the_nodes() -> None:
    """Each of four nodes gets a fair share of a thousand queues."""
    members = [member(number) for number in range(4)]
    first = [rank(("notes", f"q{number}"), members)[0].address for number in range(1_000)]
    assert all(180 < first.count(one.address) < 320 for one in members)


def test_operations_are_routed_by_application_and_queue() -> None:
    """What belongs to a queue goes where the queue goes."""
    caller = Caller()
    assert routing_key(DescribeQueue(application="a", caller=caller, queue="q")) == ("a", "q")
    assert routing_key(ListQueues(application="a", caller=caller, offset=None, limit=1, include_count=False)) == (
        "a",
        "",
    )
    assert routing_key(ListMembers()) == ("", "")
