"""Event loops of simulated machines: one heap of all that is going to happen, one virtual time.

Each machine has a loop of its own.  Between any two steps of its tasks it can be paused (its steps wait) or crashed
(its steps are gone), while time goes on for the others.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

from common.identifiers import TICKS_PER_SECOND
from tests.support.clock import START_TICKS

T = TypeVar("T")


class World:
    """Time, and what is going to happen in it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.errors: list[str] = []
        self.stopped = False
        self._heap: list[tuple[float, int, asyncio.Handle, MachineLoop]] = []
        self._order = 0

    def push(self, at_s: float, handle: asyncio.Handle, loop: MachineLoop) -> None:
        self._order += 1
        heapq.heappush(self._heap, (max(at_s, self.now_s), self._order, handle, loop))

    def run(self, until_s: float) -> None:
        """Let everything happen until then, or until ``stopped``."""
        while self._heap and not self.stopped and self._heap[0][0] <= until_s:
            at_s, _, handle, loop = heapq.heappop(self._heap)
            self.now_s = at_s
            if loop.gone or handle.cancelled():
                continue
            if loop.paused_until_s > at_s:
                self.push(loop.paused_until_s, handle, loop)
                continue
            loop.before_step()
            events._set_running_loop(loop)
            try:
                handle._run()
            finally:
                events._set_running_loop(None)


class MachineLoop(asyncio.AbstractEventLoop):
    """The loop of one machine."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.paused_until_s = 0.0
        self.gone = False
        self.before_step: Callable[[], None] = lambda: None
        self._tasks: set[asyncio.Task[Any]] = set()

    def time(self) -> float:
        return self.world.now_s

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self.world.push(self.world.now_s, handle, self)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self.world.push(when, handle, self)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        del handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        exception = context.get("exception")
        if exception is not None and not self.gone:
            self.world.errors.append(f"{context.get('message')}: {exception!r}")

    def spawn(self, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin a task of this machine from outside of it."""
        return self.create_task(coro)

    def crash(self) -> None:
        """Lose everything that was in memory."""
        self.gone = True

    def bury(self) -> None:
        """Close what a crash left behind, without running any more of it."""
        for task in list(self._tasks):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            coro = task.get_coro()
            if coro is not None:
                _close(coro)


def _close(coro: Any) -> None:
    try:
        coro.close()
    except (RuntimeError, ValueError):
        return  # it will not be closed in the middle of a step


def new_machine(world: World) -> MachineLoop:
    """Return the loop of a machine; it has only what code without sockets, threads and processes needs."""
    return MachineLoop(world)  # type: ignore[abstract]


class MachineClock:
    """The clock of one machine, which may be off."""

    def __init__(self, world: World, *, skew_s: float = 0.0) -> None:
        self._world = world
        self.skew_s = skew_s

    def now_ticks(self) -> int:
        return START_TICKS + round((self._world.now_s + self.skew_s) * TICKS_PER_SECOND)

    def monotonic_s(self) -> float:
        return self._world.now_s
