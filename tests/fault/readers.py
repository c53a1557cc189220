"""Clients that follow a log by id, each from what it was told to be complete."""

from __future__ import annotations

import random
import threading
from typing import cast

from tests.fault.calls import Caller
from tests.fault.history import Call, Queue
from tests.fault.turns import TakesTurns
from tests.support.checkers import Outcome

PAGE = 1_000


class Reader(TakesTurns):
    """Follows all partitions of a queue, in random turns."""

    pauses_s = (0.2, 1.2)

    def __init__(self, caller: Caller, queue: Queue, rng: random.Random, stopping: threading.Event) -> None:
        super().__init__(caller, queue, rng, stopping)
        self._after: dict[int, str] = {}

    def _take_turn(self) -> None:
        self._look(self._rng.randint(1, self._queue.partitions))

    def _look(self, partition: int) -> None:
        query: dict[str, object] = {"partitions": partition, "limit": PAGE}
        if partition in self._after:
            query["after"] = self._after[partition]
        call = self._caller.get("read", self._queue, **query)
        if call.outcome is Outcome.OK and (place := next_place(call, partition)):
            self._after[partition] = place


def next_place(call: Call, partition: int) -> str:
    """Return what to read from next: a full page is read on from its last message."""
    messages = messages_of(call)
    if len(messages) == PAGE:
        return str(messages[-1]["message_id"])
    told = cast("dict[str, str]", call.answer.get("complete_until") or {})
    return told.get(str(partition), "")


def messages_of(call: Call) -> list[dict[str, object]]:
    """Return the messages of an answer."""
    return cast("list[dict[str, object]]", call.answer.get("messages") or [])


def read_everything(caller: Caller, queue: Queue) -> bool:
    """Read all that is stored, page by page; say whether every page came."""
    cursor: dict[str, object] = {"partitions": ",".join(map(str, range(1, queue.partitions + 1)))}
    while True:
        call = caller.get("stored", queue, limit=PAGE, **cursor)
        if call.outcome is not Outcome.OK:
            return False
        if not messages_of(call):
            return True
        cursor = {"cursor": call.answer["next"]}
