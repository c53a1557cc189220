"""The Python client, sync and asyncio, against the real service."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from uuid import uuid4

import pytest
from queuey_client import (
    AsyncConsumer,
    AsyncQueuey,
    Consumer,
    Delivery,
    NewMessage,
    OutcomeUnknownError,
    Queue,
    Queuey,
    RefusedError,
)

from tests.support.deployment import Deployment, key_of


@pytest.fixture
def queue(service: Deployment) -> Iterator[Queue]:
    """A new queue of the application that is promised exactly_once."""
    with Queuey(service.url, "careful", key=key_of("careful")) as queuey:
        made = queuey.queue(f"client-{uuid4().hex[:12]}")
        made.create(partitions=2)
        yield made


def test_what_is_published_is_read_as_it_was(queue: Queue) -> None:
    """Text, bytes, attributes, partition."""
    sent: list[NewMessage | str | bytes] = [
        "text",
        b"\xff\x00",
        NewMessage("third", attributes={"kind": "x"}, ttl=60),
    ]
    stored = queue.publish(sent)
    page = queue.read(partitions=[1, 2])
    assert {message.message_id for message in page.messages} == {one.message_id for one in stored}
    assert {message.body for message in page.messages} == {b"text", b"\xff\x00", b"third"}
    assert [dict(message.attributes) for message in page.messages if message.body == b"third"] == [{"kind": "x"}]


def test_a_message_that_is_published_again_is_stored_once(queue: Queue) -> None:
    """The key is the message's own, so the client's retries and the user's are the same publish."""
    message = NewMessage("once", partition=1)
    assert queue.publish([message]) == queue.publish([message])
    assert len(queue.read(partitions=[1, 2]).messages) == 1


def test_a_claim_is_held_extended_and_settled(queue: Queue) -> None:
    """A retried claim returns the same; an ack may be repeated."""
    queue.publish(["work"])
    (claim,) = queue.claim(claim_id="mine", lease=30)
    assert [one.message for one in queue.claim(claim_id="mine", lease=30)] == [claim.message]
    assert claim.receipt is not None
    (extended,) = queue.extend([claim.receipt], lease=60)
    assert extended.outcome == "extended"
    assert extended.new_receipt is not None
    assert [one.outcome for one in queue.ack([extended.new_receipt])] == ["acked"]
    assert queue.ask(extended.new_receipt).outcome == "acked"
    assert [one.outcome for one in queue.ack([extended.new_receipt])] == ["acked"]


def test_a_refusal_says_what_is_wrong(queue: Queue) -> None:
    """It is certain, and not tried again."""
    with pytest.raises(RefusedError) as refused:
        queue.claim(limit=0)
    assert (refused.value.status, refused.value.code) == (400, "invalid_request")
    assert "limit" in refused.value.fields
    assert not isinstance(refused.value, OutcomeUnknownError)


def test_a_follower_sees_each_message_once(queue: Queue) -> None:
    """What is there, and what comes while it waits."""
    queue.publish(["one", "two"])
    threading.Timer(0.3, queue.publish, [["three"]]).start()
    seen = list(itertools.islice(queue.follow(partitions=[1, 2], wait=5.0), 3))
    assert sorted(message.text for message in seen) == ["one", "three", "two"]


def test_a_consumer_settles_what_its_handler_has_done(queue: Queue) -> None:
    """Returning acks; raising gives back, and the message comes again."""
    queue.publish(["good", "bad"])
    failed: list[str] = []
    done: list[str] = []

    def handle(delivery: Delivery) -> None:
        if delivery.message.text == "bad" and not failed:
            failed.append("bad")
            raise ValueError("not this time")
        done.append(delivery.message.text)
        if len(done) == 2:
            consumer.stop()

    consumer = Consumer(queue, handle, limit=4, lease=5)
    consumer.run()
    assert sorted(done) == ["bad", "good"]
    assert queue.claim(limit=10) == ()


def test_a_slow_handler_keeps_its_lease(service: Deployment, queue: Queue) -> None:
    """The lease is extended while it works, so nobody else gets the message."""
    queue.publish(["slow"])
    lost: list[str] = []

    async def consume() -> tuple[object, ...]:
        async with AsyncQueuey(service.url, "careful", key=key_of("careful")) as queuey:
            mine = queuey.queue(queue.name)
            stolen: list[object] = []

            async def handle(delivery: Delivery) -> None:
                await asyncio.sleep(2.5)
                stolen.extend(await mine.claim(limit=1))
                consumer.stop()

            consumer = AsyncConsumer(mine, handle, lease=1, on_lost=lambda _, outcome: lost.append(outcome))
            await consumer.run()
            return tuple(stolen)

    assert asyncio.run(consume()) == ()
    assert lost == []
