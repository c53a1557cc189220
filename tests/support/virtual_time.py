"""An event loop whose time jumps to the next timer as soon as nothing is left to do, and clocks that show its time.

Only for code that touches no real socket, thread or file: what it waits for must be in the loop itself.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from common.identifiers import TICKS_PER_SECOND
from tests.support.clock import START_TICKS

T = TypeVar("T")


class _JumpingSelector(selectors.SelectSelector):
    """Never sleeps: it sets the loop's time forward instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("everything waits, and nothing is going to happen")
        self.now_s += max(timeout, 0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs hours in an instant, always the same way."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


class LoopClock:
    """A node's clock on a virtual loop, ``offset_ms`` before the true time."""

    def __init__(self, loop: VirtualLoop, *, offset_ms: int = 0) -> None:
        self._loop = loop
        self.offset_ms = offset_ms

    def now_ticks(self) -> int:
        return START_TICKS + round((self._loop.time() + self.offset_ms / 1000) * TICKS_PER_SECOND)

    def monotonic_s(self) -> float:
        return self._loop.time()


def run_virtually(loop: VirtualLoop, main: Coroutine[Any, Any, T]) -> T:
    """Run to the end on the loop, then close it; a task that failed unnoticed fails the test."""
    failures: list[object] = []
    loop.set_exception_handler(lambda _, context: failures.append(context.get("exception") or context["message"]))
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        result = runner.run(main)
        gc.collect()
    assert not failures, failures
    return result
