"""Clients that claim, and then ack, release, extend, work too long, ask twice, or die on the spot."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Final, cast

from tests.fault.calls import Caller
from tests.fault.history import Call, Queue
from tests.support.checkers import Outcome

LEASES_S: Final = (2, 3, 6)
ATTEMPTS_MAX: Final = 4
QUIET_CLAIMS: Final = 3
QUIET_PAUSE_S: Final = 1.0
DRAIN_S_MIN: Final = max(LEASES_S) + 4.0
"""Seconds after which the leases of those who died have ended, as another node counts them."""
ANSWERED_S_MAX: Final = 60.0


class Claimer(threading.Thread):
    """Works on one queue; once draining, takes everything and ends when nothing is left."""

    def __init__(
        self, caller: Caller, queue: Queue, rng: random.Random, draining: threading.Event, *, leases: bool
    ) -> None:
        super().__init__(name=caller.name, daemon=True)
        self._caller = caller
        self._queue = queue
        self._rng = rng
        self._draining = draining
        self._leases = leases
        self._number = 0
        self._drained_from_s: float | None = None

    def run(self) -> None:
        """Claim and settle until told to drain, then until nothing is left."""
        quiet = 0
        while quiet < QUIET_CLAIMS:
            self._draining.wait(self._rng.uniform(0.1, 1.0))
            if not self._draining.is_set():
                self._work(self._claim(limit=self._rng.randint(1, 8)))
                continue
            claim = self._claim(limit=200)
            receipts = receipts_of(claim)
            if receipts:
                self._settle("ack", receipts)
            quiet = quiet + 1 if self._is_quiet(claim) else 0
            if not claims_of(claim):
                threading.Event().wait(QUIET_PAUSE_S)
        self._caller.close()

    def _is_quiet(self, claim: Call) -> bool:
        if self._drained_from_s is None:
            self._drained_from_s = claim.ended_s
        is_empty = claim.outcome is Outcome.OK and not claims_of(claim)
        return is_empty and claim.began_s > self._drained_from_s + DRAIN_S_MIN

    def _claim(self, *, limit: int) -> Call:
        self._number += 1
        fields: dict[str, object] = {"limit": limit, "group": "workers"}
        if self._leases:
            fields["lease"] = self._rng.choice(LEASES_S)
        named = self._leases and self._rng.random() < 0.7
        if named:
            fields["claim_id"] = f"{self.name}.{self._number}"
        if self._rng.random() < 0.3:
            fields["wait"] = 1
        for attempt in range(ATTEMPTS_MAX if named else 1):
            call = self._caller.post_json("claim", self._queue, "/claims", fields, number=self._number)
            if call.outcome is not Outcome.UNKNOWN or attempt == ATTEMPTS_MAX - 1:
                break
            self._draining.wait(self._rng.uniform(0.1, 1.0))
        return call

    def _work(self, claim: Call) -> None:
        receipts, drawn = receipts_of(claim), self._rng.random()
        if not receipts or drawn < 0.08:
            return  # died: what it held comes again when the leases end
        ways: list[tuple[float, Callable[[list[str]], None]]] = [
            (0.16, self._give_back),
            (0.26, self._hold_longer),
            (0.34, self._work_too_long),
            (1.00, self._ack),
        ]
        next(way for below, way in ways if drawn <= below)(receipts)

    def _ack(self, receipts: list[str]) -> None:
        if self._rng.random() < 0.3:
            for receipt in receipts:
                self._settle("ack", [receipt])
        else:
            self._settle("ack", receipts)
        if self._rng.random() < 0.2:
            self._settle("ack", receipts)

    def _give_back(self, receipts: list[str]) -> None:
        given, kept = receipts[::2], receipts[1::2]
        self._settle("release", given, delay=self._rng.choice((0, 1)))
        if kept:
            self._settle("ack", kept)

    def _hold_longer(self, receipts: list[str]) -> None:
        call = self._settle("extend", receipts, lease=self._rng.choice(LEASES_S))
        self._settle("ack", new_receipts(call) or receipts)

    def _work_too_long(self, receipts: list[str]) -> None:
        self._draining.wait(self._rng.uniform(0, 2 * max(LEASES_S)))
        self._settle("ack", receipts)

    def _settle(self, kind: str, receipts: list[str], **more: object) -> Call:
        """Ask until it is answered."""
        path = {"ack": "/acks", "release": "/releases", "extend": "/extensions"}[kind]
        begun_s = self._caller.recorder.now_s()
        while True:
            call = self._caller.post_json(kind, self._queue, path, {"receipts": receipts, **more})
            if call.outcome is Outcome.OK or self._is_hopeless(call, begun_s):
                return call
            threading.Event().wait(self._rng.uniform(0.1, 1.5))

    def _is_hopeless(self, call: Call, begun_s: float) -> bool:
        refused = 400 <= call.status < 500 and call.status != 429
        patient = not self._draining.is_set() or call.ended_s < begun_s + ANSWERED_S_MAX
        return refused or not patient


def claims_of(call: Call) -> list[dict[str, object]]:
    """Return what a claim brought."""
    return cast("list[dict[str, object]]", call.answer.get("claims") or [])


def receipts_of(call: Call) -> list[str]:
    """Return the receipts of what a claim brought."""
    return [str(one["receipt"]) for one in claims_of(call) if one.get("receipt")]


def new_receipts(call: Call) -> list[str]:
    """Return the receipts to use after an extension."""
    results = cast("list[dict[str, object]]", call.answer.get("results") or [])
    return [str(one["receipt"]) for one in results]
