"""Mixed work at a steady rate from clients that keep their connections, every answer counted."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from typing import Final, NamedTuple

from tests.support.deployment import GUARANTEES, key_of

CALL_S_MAX: Final = 30.0
FORM: Final = "application/x-www-form-urlencoded"
TURN: Final = ("publish", "read", "claim", "ack")


class Answer(NamedTuple):
    """What came back; ``status`` 0 where nothing did, and ``text`` says why."""

    status: int
    text: str


class Client(http.client.HTTPConnection):
    """One client of one application, with one connection."""

    def __init__(self, port: int, application: str) -> None:
        super().__init__("127.0.0.1", port, timeout=CALL_S_MAX)
        self._application = application
        self._headers = {"Authorization": f"Application {key_of(application)}"}

    def call(self, method: str, path: str, body: str = "", kind: str = "") -> Answer:
        """Send one request; a connection that broke is not tried again."""
        headers = {**self._headers, "Content-Type": kind} if kind else self._headers
        try:
            self.request(method, f"/v1/{self._application}{path}", body, headers)
            response = self.getresponse()
            return Answer(response.status, response.read().decode())
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return Answer(0, repr(error))


class MixedLoad:
    """Publishes, reads, claims and acks on queues of every guarantee, through one port."""

    def __init__(self, port: int, *, clients: int = 24, per_s: float = 500.0) -> None:
        self._port = port
        self._every_s = clients / per_s
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self.ok = 0
        self.slowest_s = 0.0
        self.failed: Counter[str] = Counter()
        self._begun_s = 0.0
        self._clients = [threading.Thread(target=self._work, args=(number,)) for number in range(clients)]

    def start(self) -> None:
        """Begin."""
        self._begun_s = time.monotonic()
        for client in self._clients:
            client.start()

    def end(self) -> float:
        """Finish what is under way; return the requests per second that were answered."""
        self._ending.set()
        for client in self._clients:
            client.join()
        return self.ok / (time.monotonic() - self._begun_s)

    def wait_for(self, count: int, *, within_s: float = 60.0) -> None:
        """Return when so many more were answered."""
        until, end_s = self.ok + count, time.monotonic() + within_s
        while self.ok < until:
            assert time.monotonic() < end_s, f"{self.ok} answered, {until} awaited; failed: {self.failed}"
            time.sleep(0.02)

    def _work(self, number: int) -> None:
        application = sorted(GUARANTEES)[number % len(GUARANTEES)]
        client = Client(self._port, application)
        queue = f"/mixed-{number // len(GUARANTEES)}"
        self._count("create", client.call("POST", "", f"queue_name={queue[1:]}", FORM), 0)
        next_s = time.monotonic() + self._every_s * (number / len(self._clients))
        claimed: list[str] = []
        for turn in itertools.count():
            if self._ending.wait(max(0.0, next_s - time.monotonic())):
                break
            next_s = max(next_s + self._every_s, time.monotonic())
            begun_s = time.monotonic()
            what = TURN[turn % len(TURN)]
            answer = self._one(client, what, queue, claimed)
            self._count(what, answer, time.monotonic() - begun_s)
        client.close()

    def _one(self, client: Client, what: str, queue: str, claimed: list[str]) -> Answer:
        if what == "publish":
            return client.call("POST", queue, "a message", "text/plain")
        if what == "read" or (what == "ack" and not claimed):
            return client.call("GET", f"{queue}?limit=5")
        if what == "ack":
            return client.call("POST", f"{queue}/acks", json.dumps({"receipts": claimed}), "application/json")
        answer = client.call("POST", f"{queue}/claims", '{"limit": 5}', "application/json")
        claimed[:] = []
        if answer.status == 200:
            claimed += [each["receipt"] for each in json.loads(answer.text)["claims"] if each.get("receipt")]
        return answer

    def _count(self, what: str, answer: Answer, seconds: float) -> None:
        with self._lock:
            self.slowest_s = max(self.slowest_s, seconds)
            if 200 <= answer.status < 300:
                self.ok += 1
            else:
                self.failed[f"{what}: {answer.status} {answer.text[:200]}"] += 1
