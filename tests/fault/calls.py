"""One client's calls over HTTP, each recorded with what the client may conclude from its answer."""

from __future__ import annotations

import http.client
import json
from typing import Final
from urllib.parse import quote, urlencode

from tests.fault.history import Call, Queue, Recorder
from tests.support.checkers import Outcome
from tests.support.deployment import key_of

ANSWER_S_MAX: Final = 12.5
"""Seconds that a client waits: the service gives up after 10 s, and long polls here wait 1 s."""
JSON: Final = {"Content-Type": "application/json"}


class Caller:
    """A client with one connection, made anew whenever it broke."""

    def __init__(self, name: str, address: str, recorder: Recorder) -> None:
        self.name = name
        self.recorder = recorder
        self._connection = http.client.HTTPConnection(address, timeout=ANSWER_S_MAX)

    def post(self, kind: str, queue: Queue, path: str, body: bytes, headers: dict[str, str], **sent: object) -> Call:
        """Send a body to a path below the queue."""
        return self._call(kind, queue, "POST", path, body, headers, sent)

    def post_json(self, kind: str, queue: Queue, path: str, fields: dict[str, object], **sent: object) -> Call:
        """Send fields as JSON to a path below the queue."""
        return self._call(kind, queue, "POST", path, json.dumps(fields).encode(), JSON, {**fields, **sent})

    def get(self, kind: str, queue: Queue, **query: object) -> Call:
        """Read from the queue."""
        return self._call(kind, queue, "GET", "?" + urlencode(query), None, {}, query)

    def create(self, queue: Queue) -> Call:
        """Create the queue."""
        fields: dict[str, object] = {"queue_name": queue.name, "partitions": queue.partitions}
        if queue.strict:
            fields["ordering"] = "strict"
        body = json.dumps(fields).encode()
        return self._call("create", Queue(queue.application, "", 1), "POST", "", body, JSON, fields)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _call(
        self,
        kind: str,
        queue: Queue,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
        sent: dict[str, object],
    ) -> Call:
        began_s = self.recorder.now_s()
        url = f"/v1/{queue.application}" + (f"/{quote(queue.name)}" if queue.name else "") + path
        authorization = {"Authorization": f"Application {key_of(queue.application)}"}
        status, answer, code, outcome = self._exchange(method, url, body, {**authorization, **headers})
        call = Call(kind, self.name, queue.path, began_s, self.recorder.now_s(), outcome, status, code, sent, answer)
        self.recorder.add(call)
        return call

    def _exchange(
        self, method: str, url: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, object], str, Outcome]:
        try:
            if self._connection.sock is None:
                self._connection.connect()
        except OSError as error:
            self._connection.close()
            return 0, {}, type(error).__name__, Outcome.FAILED
        try:
            self._connection.request(method, url, body=body, headers=headers)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return 0, {}, type(error).__name__, Outcome.UNKNOWN
        return self._judged(response.status, content)

    def _judged(self, status: int, content: bytes) -> tuple[int, dict[str, object], str, Outcome]:
        try:
            answer = json.loads(content)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):  # the load balancer's own words
            return status, {}, f"balancer_{status}", Outcome.UNKNOWN if status >= 500 else Outcome.FAILED
        if status < 300:
            return status, answer, "", Outcome.OK
        unknown = answer.get("retry") == "unknown_outcome"
        return status, answer, str(answer.get("code", "")), Outcome.UNKNOWN if unknown else Outcome.FAILED
