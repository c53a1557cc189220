"""Clients that publish: single messages and batches, with and without keys, some for later."""

from __future__ import annotations

from tests.fault.history import Call
from tests.fault.turns import TakesTurns
from tests.support.checkers import Outcome

ATTEMPTS_MAX = 5


class Publisher(TakesTurns):
    """Publishes to one queue until it is told to stop."""

    pauses_s = (0.1, 0.9)
    _number = 0

    def _take_turn(self) -> None:
        way = self._rng.choice((self._one, self._one, self._keyed, self._batch))
        way()

    def _one(self) -> None:
        headers = {"Content-Type": "text/plain", **self._place()}
        delay_s = self._rng.randint(1, 4) if not self._queue.strict and self._rng.random() < 0.1 else 0
        if delay_s:
            headers["X-Delay"] = str(delay_s)
        body = self._body()
        self._caller.post("publish", self._queue, "", body.encode(), headers, bodies=[body], delay_s=delay_s)

    def _keyed(self) -> None:
        body = self._body()
        headers = {"Content-Type": "text/plain", "Idempotency-Key": body, **self._place()}
        self._insist(body, body.encode(), headers, [body])

    def _batch(self) -> None:
        bodies = [self._body() for _ in range(self._rng.randint(2, 5))]
        items = ", ".join(f'{{"body": "{body}"}}' for body in bodies)
        content = f'{{"messages": [{items}]}}'.encode()
        headers = {"Content-Type": "application/json"}
        if self._rng.random() < 0.5:
            headers["Idempotency-Key"] = bodies[0]
            self._insist(bodies[0], content, headers, bodies)
        else:
            self._caller.post("publish", self._queue, "", content, headers, bodies=bodies)

    def _insist(self, key: str, content: bytes, headers: dict[str, str], bodies: list[str]) -> None:
        """Send the same again until it is certain, or until patience ends."""
        for attempt in range(ATTEMPTS_MAX):
            call = self._caller.post(
                "publish", self._queue, "", content, headers, bodies=bodies, key=key, attempt=attempt
            )
            if _is_certain(call) or self._stopping.wait(self._rng.uniform(0.05, 2.0)):
                return

    def _place(self) -> dict[str, str]:
        drawn = self._rng.random()
        if drawn < 0.4:
            return {"X-Partition": str(self._rng.randint(1, self._queue.partitions))}
        return {"X-Partition-Key": f"key {self._rng.randint(1, 20)}"} if drawn < 0.6 else {}

    def _body(self) -> str:
        self._number += 1
        return f"{self.name}/{self._number}"


def _is_certain(call: Call) -> bool:
    return call.outcome is Outcome.OK or (0 < call.status < 500)
