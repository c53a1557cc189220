"""A thread that serves the event loop's requests in batches and brings each batch back in one call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, Protocol, TypeVar

from storage_node.store.errors import StoreError, StoreFailedError, StoreOverloadedError

C = TypeVar("C")
T = TypeVar("T")

PAIR: Final = 2
"""Requests that are no crowd yet: a publish and the claim that it wakes must not wait for others."""


class Request(Generic[C]):
    """Something to be done with a worker's connection, and who waits for it."""

    __slots__ = ("answer", "error", "future", "run", "size_bytes")

    def __init__(self, run: Callable[[C], object], future: asyncio.Future[Any], size_bytes: int) -> None:
        self.run = run
        self.future = future
        self.size_bytes = size_bytes
        self.answer: object = None
        self.error: StoreError | None = None


class Serve(Protocol[C]):
    """What a worker does with a batch: fills in each request's ``answer`` or ``error``, raises nothing."""

    def serve(self, batch: Sequence[Request[C]]) -> None:
        """Do them all."""

    def finish(self) -> None:
        """Let go of the connection; the last call, made on the worker's thread."""


class Worker(Generic[C]):
    """One thread and its bounded queue of requests.

    ``submit`` is for the event loop that made the worker.  Requests are served in the order in which they were
    submitted; a batch is whatever waits when the one before it is done, up to a bound.
    """

    def __init__(
        self,
        name: str,
        service: Serve[C],
        *,
        waiting_max: int,
        waiting_bytes_max: int,
        batch_max: int,
        gather_s: float = 0,
    ) -> None:
        """``gather_s``: seconds to wait, after a batch of more than a pair, for others to share the next one."""
        self._service = service
        self._waiting_max: Final = waiting_max
        self._waiting_bytes_max: Final = waiting_bytes_max
        self._batch_max: Final = batch_max
        self._gather_s: Final = gather_s
        self._loop = asyncio.get_running_loop()
        self._requests: SimpleQueue[Request[C] | None] = SimpleQueue()
        self._waiting = 0
        self._waiting_bytes = 0
        self._is_closing = False
        self._pause: Final = threading.Event()
        """Never set: waiting for it is a pause."""
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Return the number of requests that have no answer yet."""
        return self._waiting

    def submit(self, run: Callable[[C], T], *, size_bytes: int = 0) -> asyncio.Future[T]:
        """Queue a request; the future carries what ``run`` returns or a ``StoreError``.

        Raises:
            StoreOverloadedError: too many requests or bytes are waiting.
            StoreFailedError: the store is closed.
        """
        if self._is_closing:
            raise StoreFailedError("the store is closed")
        is_full = self._waiting >= self._waiting_max
        if is_full or (self._waiting and self._waiting_bytes + size_bytes > self._waiting_bytes_max):
            raise StoreOverloadedError("too many requests are waiting for the store")
        self._waiting += 1
        self._waiting_bytes += size_bytes
        future: asyncio.Future[T] = self._loop.create_future()
        self._requests.put(Request(run, future, size_bytes))
        return future

    async def close(self) -> None:
        """Serve what is queued, then end the thread."""
        if not self._is_closing:
            self._is_closing = True
            self._requests.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()

    def _work(self) -> None:
        is_open, together = True, 0
        while is_open:
            if together > PAIR and self._requests.qsize() < together:
                self._pause.wait(self._gather_s)
            batch, is_open = self._next_batch()
            together = len(batch)
            if batch:
                self._service.serve(batch)
                self._bring(self._deliver, batch)
        self._service.finish()
        self._bring(self._end)

    def _next_batch(self) -> tuple[list[Request[C]], bool]:
        """Wait for a request; return all that wait, and whether more may come."""
        first = self._requests.get()
        if first is None:
            return [], False
        batch = [first]
        try:
            while len(batch) < self._batch_max:
                more = self._requests.get_nowait()
                if more is None:
                    return batch, False
                batch.append(more)
        except Empty:
            pass
        return batch, True

    def _bring(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    def _deliver(self, batch: Sequence[Request[C]]) -> None:
        self._waiting -= len(batch)
        for request in batch:
            self._waiting_bytes -= request.size_bytes
            if request.future.done():
                continue
            if request.error is None:
                request.future.set_result(request.answer)
            else:
                request.future.set_exception(request.error)

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
