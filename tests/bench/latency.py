"""From the begin of a publish to its arrival at a claim that waits: 200 messages a second."""

from __future__ import annotations

import threading
import time
from http.client import HTTPConnection
from typing import Final

import msgspec

from tests.bench.load import Sample
from tests.bench.stage import Stage
from tests.support.deployment import key_of

PER_S: Final = 200
_HEADERS: Final = {"Authorization": f"Application {key_of('queuey')}"}


def publish_to_claim(stage: Stage, seconds: float) -> Sample:
    """Publish the time and compare it with that of the claim's answer."""
    path = stage.new_queue()
    count = round(seconds * PER_S)
    waits_ms: list[float] = []
    claimer = threading.Thread(target=_claim, args=(stage.service.port, path, count, waits_ms))
    claimer.start()
    connection = HTTPConnection("127.0.0.1", stage.service.port)
    begun_s = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, begun_s + number / PER_S - time.monotonic()))
        connection.request("POST", path, repr(time.monotonic()), {**_HEADERS, "Content-Type": "text/plain"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 201, answer.status
    claimer.join(30)
    lasted_s = time.monotonic() - begun_s
    connection.close()
    waits_ms.sort()
    assert len(waits_ms) == count, f"{len(waits_ms)} of {count} came"
    p50_ms, p99_ms = waits_ms[count // 2], waits_ms[count * 99 // 100]
    return Sample(count / lasted_s, count / lasted_s, p50_ms, p99_ms, 0, 0, 0)


def _claim(port: int, path: str, count: int, waits_ms: list[float]) -> None:
    connection = HTTPConnection("127.0.0.1", port)
    receipts: list[str] = []
    until_s = time.monotonic() + 60
    while len(waits_ms) < count and time.monotonic() < until_s:
        body = msgspec.json.encode({"limit": 10, "wait": 5, "ack": receipts})
        connection.request("POST", f"{path}/claims", body, {**_HEADERS, "Content-Type": "application/json"})
        answer = msgspec.json.decode(connection.getresponse().read())
        now_s = time.monotonic()
        waits_ms += [(now_s - float(claim["body"])) * 1000 for claim in answer["claims"]]
        receipts = [claim["receipt"] for claim in answer["claims"]]
    connection.close()
