"""What a page brings to followers at different places, and how they share one read."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Final

import msgspec
import pytest

from api.routes.streams_place import Place, advance, covers
from api.routes.streams_shared import FellBehindError, SharedRead, SharedReads
from common.cursor import Place as CursorPlace
from common.cursor import encode_cursor
from common.guarantees import Guarantee
from common.identifiers import MessageId
from common.limits import STREAM_PAGES_KEPT_MAX
from common.protocol.failures import Code, Failure, FailureError
from common.protocol.operations import Caller, Message, MessagesRead, Read

READ: Final = Read(application="queuey", caller=Caller(), queue="news", partitions=(1,), limit=100)
WAIT_S: Final = 5


def id_of(number: int) -> MessageId:
    """Return the id of that place in the log."""
    return MessageId(number.to_bytes(8, "big") + bytes(8))


def cursor(*resumes: int) -> bytes:
    """Return the cursor that is there in partitions 1, 2, ..."""
    places = {partition: CursorPlace(id_of(at), id_of(at)) for partition, at in enumerate(resumes, 1)}
    return encode_cursor(places)


def page(*numbers: int, until: int) -> MessagesRead:
    """Return a page of partition 1 with these messages that is complete up to there."""
    messages = tuple(
        Message(message_id=id_of(number), partition=1, body=b"x", content_type=None, attributes={})
        for number in numbers
    )
    return MessagesRead(
        messages=messages,
        next=cursor(until),
        complete_until={1: id_of(until)},
        guarantee=Guarantee.AT_LEAST_ONCE,
    )


def numbers(messages: tuple[Message, ...]) -> list[int]:
    """Return the places of messages in the log."""
    return [int.from_bytes(message.message_id[:8], "big") for message in messages]


def test_what_is_not_complete_comes_again_and_is_left_out() -> None:
    """Until it is complete: then it may be forgotten, and that is said once."""
    first = advance(Place(cursor(0)), page(1, 2, 3, until=1))
    assert numbers(first.fresh) == [1, 2, 3]
    assert first.complete_until == {1: id_of(1)}
    second = advance(first.place, page(2, 3, 4, until=3))
    assert numbers(second.fresh) == [4]
    third = advance(second.place, page(4, until=9))
    assert (numbers(third.fresh), third.place.sent, third.complete_until) == ([], frozenset(), {1: id_of(9)})
    assert advance(third.place, page(until=12)).complete_until == {}


def test_a_page_from_an_earlier_place_brings_only_what_is_later_and_leads_no_way_back() -> None:
    """It was read for others, who were behind."""
    step = advance(Place(cursor(5)), page(3, 4, 5, 6, until=4))
    assert numbers(step.fresh) == [6]
    assert step.place == Place(cursor(5), frozenset({(1, id_of(6))}))


def test_nothing_is_said_to_be_complete_beyond_where_a_resume_begins() -> None:
    """A page that is ahead in one partition and behind in the other leads nowhere: what it brings may come again."""
    found = msgspec.structs.replace(page(6, 7, until=7), next=cursor(7, 18))
    step = advance(Place(cursor(6, 20)), found)
    assert numbers(step.fresh) == [7]
    assert step.place.cursor == cursor(6, 20)
    assert step.complete_until == {}, "whoever forgets 7 would see it twice after a resume from 6"


def test_a_cursor_covers_another_where_it_is_as_far_in_every_partition() -> None:
    """And none that names a partition which it does not."""
    assert covers(cursor(5, 5), cursor(5, 4))
    assert covers(cursor(5, 5), cursor(5))
    assert covers(cursor(5), b"")
    assert not covers(cursor(5, 5), cursor(4, 6))
    assert not covers(cursor(5), cursor(5, 1))
    assert not covers(b"", cursor(1))


class Node:
    """Answers reads with what a test hands in, and knows how often it was asked."""

    def __init__(self) -> None:
        self.pages: queue.Queue[MessagesRead | FailureError] = queue.Queue()
        self.asked: queue.Queue[Read] = queue.Queue()

    def read(self, operation: Read) -> MessagesRead:
        """Wait for what the test hands in."""
        self.asked.put(operation)
        answer = self.pages.get(timeout=WAIT_S)
        if isinstance(answer, FailureError):
            raise answer
        return answer


@pytest.fixture
def node() -> Iterator[Node]:
    """A node; what still reads at the end is refused."""
    made = Node()
    yield made
    made.pages.put(FailureError(Failure(Code.UNAVAILABLE, "node", "the test is over")))


@pytest.fixture
def reads() -> SharedReads:
    """The shared reads of a process that serves."""
    return SharedReads(is_serving=lambda: True)


def together(shared: SharedRead, number: int, count: int) -> queue.Queue[object]:
    """Let so many wait for the page behind ``number``; what each gets is put into the queue."""
    got: queue.Queue[object] = queue.Queue()

    def wait() -> None:
        try:
            got.put(shared.page_after(number, wait_ms=WAIT_S * 1000))
        except FailureError as error:
            got.put(error.failure.code)

    for _ in range(count):
        threading.Thread(target=wait, daemon=True).start()
    return got


def test_all_who_wait_at_a_place_get_the_page_of_one_read(node: Node, reads: SharedReads) -> None:
    """Which begins where the first one was, and goes on behind it."""
    shared = reads.begin(READ, cursor(0), node.read)
    for _ in range(10):
        shared.join()
    got = together(shared, 0, 10)
    assert node.asked.get(timeout=WAIT_S).cursor == cursor(0)
    node.pages.put(page(1, until=1))
    assert len({id(got.get(timeout=WAIT_S)) for _ in range(10)}) == 1
    assert node.asked.get(timeout=WAIT_S).cursor == cursor(1)
    assert node.asked.empty()


def test_a_refusal_ends_it_for_all_and_for_nobody_who_comes_later(node: Node, reads: SharedReads) -> None:
    """They read for themselves, and begin another one."""
    shared = reads.begin(READ, cursor(0), node.read)
    for _ in range(3):
        shared.join()
    got = together(shared, 0, 3)
    node.pages.put(FailureError(Failure(Code.ACCESS_DENIED, "access", "no")))
    assert [got.get(timeout=WAIT_S) for _ in range(3)] == [Code.ACCESS_DENIED] * 3
    assert reads.find(READ) is None


def test_who_is_too_slow_falls_out(node: Node, reads: SharedReads) -> None:
    """Only so many pages are kept for it."""
    shared = reads.begin(READ, cursor(0), node.read)
    shared.join()
    shared.join()
    for number in range(STREAM_PAGES_KEPT_MAX + 1):
        node.pages.put(page(number + 1, until=number + 1))
        assert shared.page_after(number, wait_ms=WAIT_S * 1000) is not None
    assert shared.page_after(1, wait_ms=0) is not None
    with pytest.raises(FellBehindError):
        shared.page_after(0, wait_ms=0)


def test_it_is_forgotten_with_the_last_who_leaves(node: Node, reads: SharedReads) -> None:
    """What costs nothing when idle."""
    shared = reads.begin(READ, cursor(0), node.read)
    shared.join()
    assert reads.find(READ) is shared
    node.pages.put(page(1, until=1))
    assert shared.page_after(0, wait_ms=1) is not None
    shared.leave()
    assert len(reads) == 0
