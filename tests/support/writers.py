"""Clients that post and follow over HTTP while the service comes and goes, and that remember what they were told."""

from __future__ import annotations

import http.client
import json
import threading
from collections import defaultdict
from typing import Final, NamedTuple
from urllib.parse import urlsplit

CALL_S_MAX: Final = 10.0
PAUSE_S: Final = 0.05


class Acknowledged(NamedTuple):
    """A message that the service said it has."""

    key: str
    partition: int
    body: str


class Connection:
    """One client's connection, made anew whenever it broke."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        place = urlsplit(url)
        self._path = place.path
        self._headers = headers
        self._connection = http.client.HTTPConnection(place.netloc, timeout=CALL_S_MAX)

    def call(self, method: str, path: str, body: bytes | None = None) -> dict[str, object] | None:
        """Return a good answer, or ``None``: refused, broken off, or nobody there."""
        try:
            self._connection.request(method, f"{self._path}{path}", body=body, headers=self._headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return None
        return dict(json.loads(content)) if answer.status < 300 else None

    def close(self) -> None:
        """Close it."""
        self._connection.close()


class Writer(threading.Thread):
    """Posts one message after the other and keeps those that were acknowledged, in order."""

    def __init__(self, name: str, connection: Connection, queue: str, stopping: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self._connection = connection
        self._queue = queue
        self._stopping = stopping
        self.acknowledged: list[Acknowledged] = []
        self.sent: set[str] = set()

    def run(self) -> None:
        """Post until it is told to stop."""
        number = 0
        while not self._stopping.wait(PAUSE_S):
            number += 1
            body = f"{self.name}: {number} \N{SNOWMAN}"
            self.sent.add(body)
            answer = self._connection.call("POST", f"/{self._queue}", body.encode())
            if answer is not None:
                messages = answer["messages"]
                assert isinstance(messages, list)
                self.acknowledged.append(Acknowledged(messages[0]["key"], messages[0]["partition"], body))
        self._connection.close()


class Follower(threading.Thread):
    """Follows a queue's partitions by ``since``, each from the last message that it has seen."""

    def __init__(self, connection: Connection, queue: str, partitions: int, stopping: threading.Event) -> None:
        super().__init__(daemon=True)
        self._connection = connection
        self._queue = queue
        self._last: dict[int, str] = dict.fromkeys(range(1, partitions + 1), "")
        self._stopping = stopping
        self.seen: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
        """Partition -> ids and bodies in the order in which they came."""

    def run(self) -> None:
        """Follow until it is told to stop, and then on to the end."""
        while not self._stopping.wait(PAUSE_S):
            self.look()
        while not self.look():
            pass
        self._connection.close()

    def look(self) -> bool:
        """Read on in every partition; say whether all answered and none had anything new."""
        return not [partition for partition in self._last if not self._is_at_end(partition)]

    def _is_at_end(self, partition: int) -> bool:
        last = self._last[partition]
        since = f"&since={last}" if last else ""
        answer = self._connection.call("GET", f"/{self._queue}?limit=500&partitions={partition}{since}")
        messages = answer["messages"] if answer else []
        assert isinstance(messages, list)
        new = [(message["message_id"], message["body"]) for message in messages if message["message_id"] != last]
        self.seen[partition] += new
        if new:
            self._last[partition] = new[-1][0]
        return answer is not None and not new
