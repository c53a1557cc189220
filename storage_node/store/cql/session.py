"""Statements sent from the event loop: bounded in flight, one wake-up of the loop for many results."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from storage_node.store.cql.driver import Connection, Deliver
from storage_node.store.cql.faults import translate
from storage_node.store.cql.statements import Kind, Level
from storage_node.store.errors import StoreFailedError, StoreOverloadedError

IN_FLIGHT_MAX: Final = 256
"""Statements that this process has sent and that are not answered; the driver itself has no bound below 32,768."""
WAITING_MAX: Final = 8_192
"""Statements that may wait for a place; beyond it they are refused as overload."""

Row: TypeAlias = tuple[Any, ...]
Call: TypeAlias = tuple[str, Sequence[object]]


class Outcome(NamedTuple):
    """What a conditional statement said: applied, or the rows that stood in the way, by column name."""

    applied: bool
    rows: list[dict[str, Any]]


class CqlSession:
    """The store's way to the cluster; belongs to one event loop."""

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        self.connection = connection
        self._loop = loop
        self._places = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._waiting = 0
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._woken = False

    async def close(self) -> None:
        """Wait for what is under way, then let go."""
        for _ in range(IN_FLIGHT_MAX):
            await self._places.acquire()
        await asyncio.to_thread(self.connection.close)

    async def read(self, name: str, *values: object, level: Level | None = None, host: object = None) -> list[Row]:
        """Return the rows of a read."""
        rows = await self._send(
            self.connection.kind_of(name),
            lambda deliver: self.connection.send(name, values, deliver, level=level, host=host),
        )
        return rows if isinstance(rows, list) else list(rows or ())

    async def write(self, name: str, *values: object) -> None:
        """Make an unconditional change."""
        await self._send(self.connection.kind_of(name), lambda deliver: self.connection.send(name, values, deliver))

    async def write_batch(self, calls: Sequence[Call], *, level: Level = Level.QUORUM) -> None:
        """Make several unconditional changes of one partition as one."""
        await self._send(
            Kind.WRITE, lambda deliver: self.connection.send_batch(calls, deliver, kind=Kind.WRITE, level=level)
        )

    async def compare_and_set(self, name: str, *values: object) -> Outcome:
        """Make a conditional change."""
        rows = await self._send(Kind.CONDITIONAL, lambda deliver: self.connection.send(name, values, deliver))
        return _outcome(rows)

    async def compare_and_set_batch(self, calls: Sequence[Call], *, level: Level = Level.QUORUM) -> Outcome:
        """Make several changes of one partition on the conditions of all of them."""
        rows = await self._send(
            Kind.CONDITIONAL,
            lambda deliver: self.connection.send_batch(calls, deliver, kind=Kind.CONDITIONAL, level=level),
        )
        return _outcome(rows)

    async def _send(self, kind: Kind, send: Callable[[Deliver], None]) -> Any:
        await self._take_place()
        future: asyncio.Future[Any] = self._loop.create_future()
        try:
            send(self._deliverer(future))
        except Exception as error:
            self._places.release()
            raise StoreFailedError(f"not sent: {type(error).__name__}: {error}") from error
        try:
            return await future
        except Exception as error:
            raise translate(error, kind) from error

    async def _take_place(self) -> None:
        if self._waiting >= WAITING_MAX:
            raise StoreOverloadedError("too many statements wait for the store")
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1

    def _deliverer(self, future: asyncio.Future[Any]) -> Deliver:
        def deliver(result: Any, error: BaseException | None) -> None:
            """Runs in the driver's thread."""
            self._done.append((future, result, error))
            if not self._woken:
                self._woken = True
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    self._loop.call_soon_threadsafe(self._settle)

        return deliver

    def _settle(self) -> None:
        """Hand out all results that have come; the flag falls first, so that none is left behind."""
        self._woken = False
        while self._done:
            future, result, error = self._done.popleft()
            self._places.release()
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)


def _outcome(rows: Any) -> Outcome:
    found = list(rows)
    return Outcome(bool(found[0]["[applied]"]), found)
