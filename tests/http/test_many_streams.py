"""Many event streams on one front-end process: what they share, what each costs, and how they end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from api.worker import NOTICE_S
from tests.bench.processes import resident_bytes
from tests.support.deployment import Api, Deployment
from tests.support.http_calls import new_queue, post
from tests.support.many_streams import has, reading

READERS: Final = 600
REACHED_S_MAX: Final = 10.0
"""Seconds on a machine that does much else; ``make bench-streams`` holds them to one second."""
KILOBYTES_EACH_MAX: Final = 40
ENDED_S_MAX: Final = NOTICE_S + 2.5
"""Seconds; a read of a stream may wait longer than that."""


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A service for crowds alone: its memory is measured."""
    with Deployment(tmp_path_factory.mktemp("crowded")) as deployment:
        yield deployment


@pytest.fixture
def owner(crowded: Deployment) -> Iterator[Api]:
    """Its application."""
    with crowded.api() as session:
        yield session


def test_a_message_reaches_every_reader_once(crowded: Deployment, owner: Api) -> None:
    """Also those who come while others wait, and those who were there before them; each costs little memory."""
    queue = new_queue(owner, type="public")
    post(owner, queue, "first")
    path = f"/v1/queuey/{queue}"
    front, node = crowded.front.pid, crowded.node.pid
    before = resident_bytes(front) + resident_bytes(node)
    with reading(crowded.port, path, READERS) as early, reading(crowded.port, path, 50) as late:
        each = (resident_bytes(front) + resident_bytes(node) - before) / (READERS + 50)
        for number in range(5):
            post(owner, queue, f"message {number}")
        for readers in (early, late):
            readers.wait(has(b"message 4"), within_s=REACHED_S_MAX)
            for reader in readers.all:
                assert [reader.received.count(f"message {number}".encode()) for number in range(5)] == [1] * 5
                assert reader.received.count(b'"first"') == 1
    assert each < KILOBYTES_EACH_MAX * 1000


def test_readers_of_different_callers_share_nothing_but_the_queue(crowded: Deployment, owner: Api) -> None:
    """An application and strangers see the same; a queue that closes to strangers ends for them alone."""
    queue = new_queue(owner, type="public")
    path = f"/v1/queuey/{queue}"
    key = f"Authorization: {owner.headers['Authorization']!s}\r\n"
    with reading(crowded.port, path, 3) as strangers, reading(crowded.port, path, 3, headers=key) as owners:
        post(owner, queue, "for all")
        for readers in (strangers, owners):
            readers.wait(has(b"for all"), within_s=REACHED_S_MAX)
        assert owner.put(queue, data={"type": "user"}).status_code == 200
        post(owner, queue, "for the owner")
        owners.wait(has(b"for the owner"), within_s=REACHED_S_MAX)
        strangers.wait(has(b"event: failure"), within_s=REACHED_S_MAX)
        assert all(b"access_denied" in reader.received for reader in strangers.all)
        assert all(b"for the owner" not in reader.received for reader in strangers.all)


def test_streams_end_soon_when_their_front_end_does(tmp_path: Path) -> None:
    """Shared or alone: they do not wait for a message first, and none is cut off in the middle of an event."""
    with Deployment(tmp_path) as service, service.api() as api:
        shared, lone, several = (new_queue(api, type="public") for _ in range(3))
        path = "/v1/queuey"
        with (
            reading(service.port, f"{path}/{shared}", 20) as crowd,
            reading(service.port, f"{path}/{lone}", 1) as alone,
            reading(service.port, f"{path}?queues={several},{shared}", 1) as both,
        ):
            os.kill(service.front.pid, signal.SIGTERM)
            for readers in (crowd, alone, both):
                readers.wait(lambda reader: reader.received.endswith(b"\n\r\n0\r\n\r\n"), within_s=ENDED_S_MAX)
