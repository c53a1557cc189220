"""A client of the load that does one thing after the other, with random pauses, until it is told to stop."""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from typing import ClassVar

from tests.fault.calls import Caller
from tests.fault.history import Queue


class TakesTurns(threading.Thread, ABC):
    """One client of one queue, in a thread of its own; its calls are in the caller's history."""

    pauses_s: ClassVar[tuple[float, float]]

    def __init__(self, caller: Caller, queue: Queue, rng: random.Random, stopping: threading.Event) -> None:
        super().__init__(name=caller.name, daemon=True)
        self._caller = caller
        self._queue = queue
        self._rng = rng
        self._stopping = stopping

    def run(self) -> None:
        """Take turns until told to stop."""
        while not self._stopping.wait(self._rng.uniform(*self.pauses_s)):
            self._take_turn()
        self._caller.close()

    @abstractmethod
    def _take_turn(self) -> None:
        """Do one thing."""
