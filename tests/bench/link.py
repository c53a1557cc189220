"""What the link costs: codec per frame, and round trips with their CPU at both ends, against bare ZeroMQ.

``python -m tests.bench.link [--seconds 3]``.  Everything is measured in one run on one machine; the ratios count.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import gevent
import msgspec
import zmq

from common.guarantees import Guarantee
from common.protocol.codec import decode_answer, decode_request, encode_answer, encode_request, type_answer
from common.protocol.envelope import Request
from common.protocol.operations import (
    Caller,
    Claim,
    Claimed,
    Claims,
    Message,
    NewMessage,
    Operation,
    Ping,
    Publish,
    Published,
    Stored,
)
from tests.support.link import Cluster

CALLER: Final = Caller(principals=("app:notes",))
BODY: Final = b"x" * 200
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def publish(count: int) -> Publish:
    """Messages of 200 bytes."""
    message = NewMessage(body=BODY, content_type="text/plain")
    return Publish(
        application="notes",
        caller=CALLER,
        queue="inbox",
        messages=(message,) * count,
        partition=3,
        attempt_key="k" * 22,
    )


def claims(count: int) -> Claims:
    """A reply with messages of 200 bytes."""
    message = Message(message_id=bytes(16), partition=1, body=BODY, content_type="text/plain")
    claimed = Claimed(message=message, deliveries=1, receipt="r" * 90, lease_until_ticks=1 << 57)
    return Claims(claims=(claimed,) * count, acked=(), guarantee=Guarantee.AT_LEAST_ONCE)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0)
    seconds: float = parser.parse_args().seconds
    _codec()
    bare = _bare_rate(seconds)
    with TemporaryDirectory() as directory:
        _round_trips(Path(directory), seconds, bare)


def _codec() -> None:
    claim = Claim(application="notes", caller=CALLER, queue="inbox", group="default", limit=10, lease_ms=None)
    operations: dict[str, Operation] = {
        "publish of 1": publish(1),
        "publish of 100": publish(100),
        "claim": claim,
        "ping": Ping(),
    }
    published = Published(
        results=(Stored(message_id=bytes(16), partition=3),), guarantee=Guarantee.AT_LEAST_ONCE, partitions=4
    )
    print(f"{'frame':<24}{'bytes':>8}{'encode us':>11}{'decode us':>11}")
    for name, operation in operations.items():
        request = Request(request_id=123_456, operation=operation, sent_ms=1 << 33, budget_ms=10_000, log_id="r" * 32)
        frame = encode_request(request)
        _row(name, len(frame), lambda: encode_request(request), lambda: decode_request(frame))  # noqa: B023
    replies: dict[str, msgspec.Struct] = {"reply: published 1": published, "reply: 10 claims": claims(10)}
    for name, reply in replies.items():
        frame = encode_answer(123_456, reply)
        kind = type(reply)
        _row(
            name,
            len(frame),
            lambda: encode_answer(123_456, reply),  # noqa: B023
            lambda: type_answer(decode_answer(frame), kind),  # noqa: B023
        )


def _row(name: str, size: int, encode: Callable[[], object], decode: Callable[[], object]) -> None:
    print(f"{name:<24}{size:>8}{_us(encode):>11.2f}{_us(decode):>11.2f}")


def _us(work: Callable[[], object]) -> float:
    return min(timeit.repeat(work, number=2_000, repeat=5)) / 2_000 * 1e6


def _echo(endpoint: str) -> None:
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.bind(endpoint)
    while True:
        identity, frame = socket.recv_multipart()
        socket.send_multipart((identity, frame[:5]))


def _bare_rate(seconds: float) -> float:
    """Round trips per second of blocking sockets that do nothing else, 32 in flight."""
    with TemporaryDirectory() as directory:
        endpoint = f"ipc://{directory}/echo"
        server = multiprocessing.Process(target=_echo, args=(endpoint,), daemon=True)
        server.start()
        socket = zmq.Context().socket(zmq.DEALER)
        socket.connect(endpoint)
        frame = bytes(60)
        for _ in range(32):
            socket.send(frame)
        done, began_s = 0, time.monotonic()
        while time.monotonic() - began_s < seconds:
            for _ in range(200):
                socket.recv()
                socket.send(frame)
            done += 200
        socket.close(linger=0)
        server.terminate()
        return done / seconds


def _round_trips(directory: Path, seconds: float, bare: float) -> None:
    cluster = Cluster(directory)
    node = cluster.add()
    client = cluster.client()
    assert client.ready()
    pid = node.process.pid
    print(f"\n{'noop round trips':<24}{'per s':>8}{'front end us':>14}{'node us':>9}{'of bare ZeroMQ':>16}")
    for greenlets in (1, 32, 256):
        stop_s = time.monotonic() + seconds
        done = [0]

        def work() -> None:
            while time.monotonic() < stop_s:  # noqa: B023
                client.call(Ping())
                done[0] += 1  # noqa: B023

        here_s, there_s = time.process_time(), _cpu_s(pid)
        gevent.joinall([gevent.spawn(work) for _ in range(greenlets)], raise_error=True)
        here_us = (time.process_time() - here_s) / done[0] * 1e6
        there_us = (_cpu_s(pid) - there_s) / done[0] * 1e6
        rate = done[0] / seconds
        print(f"{greenlets:>3} in flight{'':<11}{rate:>9.0f}{here_us:>14.1f}{there_us:>9.1f}{rate / bare:>16.2f}")
    cluster.close()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


if __name__ == "__main__":
    main()
