"""What was acknowledged survives ``kill -9`` of everything, and a reader that follows misses none of it."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from common.identifiers import id_from_hex
from tests.support.service import Service, running_service, wait_until
from tests.support.writers import Connection, Follower, Writer

WRITERS: Final = 100
PARTITIONS: Final = 4
KILLS: Final = 5
QUEUE: Final = "survivors"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running_service(tmp_path) as running:
        yield running


def kill_and_start_again(service: Service, writers: list[Writer], rng: random.Random) -> None:
    """Kill one process, then all of them, each at a random moment of the traffic; start the service again."""
    await_traffic(writers, rng.randint(1, 400))
    os.kill(rng.choice(service.processes()), signal.SIGKILL)
    await_traffic(writers, rng.randint(1, 400), within_s=5.0, needed=False)
    service.kill_everything()
    service.start()


def await_traffic(writers: list[Writer], more: int, *, within_s: float = 30.0, needed: bool = True) -> None:
    """Wait until that many more messages were acknowledged."""
    goal = acknowledged(writers) + more
    try:
        wait_until(lambda: acknowledged(writers) >= goal, within_s=within_s, what=f"{more} acknowledged messages")
    except AssertionError:
        assert not needed, [process for process in writers if process.is_alive()]


def acknowledged(writers: list[Writer]) -> int:
    return sum(len(writer.acknowledged) for writer in writers)


@pytest.mark.timeout(300)
def test_acknowledged_messages_survive_and_no_reader_misses_one(service: Service) -> None:
    """100 writers, five times killed: all there as sent, ids ascending, the follower saw each."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng, stopping, complete = random.Random(seed), threading.Event(), threading.Event()

    def connect() -> Connection:
        return Connection(service.url, service.authorization)

    owner = connect()
    assert owner.call("POST", "", f"queue_name={QUEUE}&partitions={PARTITIONS}".encode())
    writers = [Writer(f"writer {n}", connect(), QUEUE, stopping) for n in range(WRITERS)]
    follower, ended = Follower(connect(), QUEUE, PARTITIONS, complete), connect()
    for thread in (*writers, follower):
        thread.start()
    for _ in range(KILLS):
        kill_and_start_again(service, writers, rng)
    await_traffic(writers, 200)
    stopping.set()
    for writer in writers:
        writer.join(60)
    complete.set()
    follower.join(60)
    late = Follower(ended, QUEUE, PARTITIONS, complete)
    late.run()
    owner.close()
    judge(writers, follower, late)


def judge(writers: list[Writer], follower: Follower, late: Follower) -> None:
    """Compare what was acknowledged with what two readers found."""
    stored = {(partition, key): body for partition, found in late.seen.items() for key, body in found}
    sent = {body for writer in writers for body in writer.sent}
    assert set(stored.values()) <= sent
    assert acknowledged(writers) > WRITERS
    for writer in writers:
        for message in writer.acknowledged:
            assert stored.get((message.partition, message.key)) == message.body
    for reader in (follower, late):
        for found in reader.seen.values():
            ids = [id_from_hex(key) for key, _ in found]
            assert ids == sorted(set(ids))
    for writer in writers:
        for partition in range(1, PARTITIONS + 1):
            ids = [id_from_hex(message.key) for message in writer.acknowledged if message.partition == partition]
            assert ids == sorted(set(ids))
    followed = {(partition, key) for partition, found in follower.seen.items() for key, _ in found}
    assert {(message.partition, message.key) for writer in writers for message in writer.acknowledged} <= followed
