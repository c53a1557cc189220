"""The Python client, sync and asyncio, against the real service."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from queuey_client import (
    AsyncConsumer,
    AsyncQueue,
    AsyncQueuey,
    Consumer,
    Delivery,
    NewMessage,
    OutcomeUnknownError,
    Queue,
    Queuey,
    RefusedError,
)

from tests.support.deployment import Api, Deployment, deployed, key_of
from tests.support.http_calls import post


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


def test_one_message_and_one_receipt_need_no_list(queue: Queue) -> None:
    """A text is one message, not one for each of its letters."""
    assert len(queue.publish("whole")) == 1
    (claim,) = queue.claim()
    assert claim.message.text == "whole"
    assert claim.receipt is not None
    assert [one.outcome for one in queue.extend(claim.receipt)] == ["extended"]
    assert [one.outcome for one in queue.release(claim.receipt)] == ["released"]
    (again,) = queue.claim()
    assert again.receipt is not None
    assert [one.outcome for one in queue.ack(again.receipt)] == ["acked"]


def test_the_sync_and_the_asyncio_client_have_the_same_calls() -> None:
    """With the same arguments and promises."""
    for sync, aio in ((Queue, AsyncQueue), (Queuey, AsyncQueuey)):
        names = [name for name in vars(sync) if not name.startswith("_")]
        assert names == [name for name in vars(aio) if not name.startswith("_")]
        for name in names:
            one, other = getattr(sync, name), getattr(aio, name)
            assert one.__doc__ == other.__doc__
            assert inspect.signature(one).parameters.keys() == inspect.signature(other).parameters.keys(), name


def test_who_calls_is_asked_before_each_call(service: Deployment) -> None:
    """So that what ends soon, or counts once, is always fresh."""
    sent = iter(["one", "two"])
    with Queuey(service.url, "careful", assertion=lambda: next(sent)) as queuey:
        for _ in range(2):
            with pytest.raises(RefusedError) as refused:
                queuey.queue("any").read()
            assert refused.value.status == 401
    assert list(sent) == []


def come_back(service: Deployment) -> None:
    """Start what was killed, and publish."""
    service.start()
    with service.api("careful") as api:
        post(api, "followed", "after")


def test_a_follower_outlives_an_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than all attempts of a read; nothing is missed, nothing comes twice, and a refusal for good ends it."""
    monkeypatch.setattr("queuey_client.retrying.TRIES", 1)
    monkeypatch.setattr("queuey_client.client.TROUBLE_PAUSE_S", 0.05)
    with deployed(tmp_path) as service, Queuey(service.url, "careful", key=key_of("careful")) as queuey:
        queue = queuey.queue("followed")
        queue.create()
        queue.publish("before")
        following = queue.follow(wait=1.0)
        assert next(following).text == "before"
        service.front.kill()
        coming_back = threading.Thread(target=come_back, args=(service,))
        coming_back.start()
        assert next(following).text == "after"
        coming_back.join()
        queue.delete()
        with pytest.raises(RefusedError):
            next(following)


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


def test_a_handler_hears_that_its_lease_was_lost(queue: Queue) -> None:
    """So that it can undo: the group was rewound while it worked, and the message goes to somebody again."""
    queue.publish("undone")
    lost: list[tuple[str, str]] = []

    def handle(delivery: Delivery) -> None:
        consumer.stop()
        with Api(f"{queue.queuey.url}/v1/careful", f"Application {key_of('careful')}") as api:
            assert api.put(f"{queue.name}/groups/default", json={"position": "start"}).status_code == 200

    consumer = Consumer(
        queue, handle, on_lost=lambda delivery, outcome: lost.append((delivery.message.text, outcome))
    )
    consumer.run()
    assert lost == [("undone", "lease_lost")]
