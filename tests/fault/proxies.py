"""TCP proxies that can be cut, held and slowed, for each pair of a caller and a target by itself.

They run on an event loop in a thread of their own; every method may be called from any thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from tests.fault.owners import owner_of

CHUNK_BYTES: Final = 1 << 16
CHUNKS_HELD_MAX: Final = 256
"""Chunks that one direction of one connection holds back before it stops reading."""

T = TypeVar("T")


class Pair(NamedTuple):
    """A caller and what it calls, such as front end 1 and node 2."""

    caller: str
    target: str


@dataclass
class Link:
    """How the connections of one pair fare now."""

    is_cut: bool = False
    """Connections are reset, new ones too."""
    delay_s: float = 0.0
    """How much later every chunk goes on."""
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    """While clear nothing goes on; what came meanwhile goes on afterwards."""
    connections: set[asyncio.Task[None]] = field(default_factory=set)


class Proxies:
    """All proxies of one site."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._links: defaultdict[Pair, Link] = defaultdict(_open_link)
        self._callers: dict[int, str] = {}
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """End all connections and listeners."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def name_caller(self, pid: int, name: str) -> None:
        """Say which caller a process and its children are."""
        self._callers = {known: other for known, other in self._callers.items() if other != name} | {pid: name}

    def listen(self, address: tuple[str, int], target: str, behind: tuple[str, int]) -> None:
        """Forward what comes to ``address`` to the real place ``behind``."""

        async def serve() -> None:
            server = await asyncio.start_server(self._acceptor(target, behind), *address, backlog=512)
            self._servers.append(server)

        self._do(serve())

    def cut(self, pair: Pair) -> None:
        """Reset the pair's connections, and every new one until it is healed."""

        async def act() -> None:
            link = self._links[pair]
            link.is_cut = True
            for task in link.connections:
                task.cancel()

        self._do(act())

    def hold(self, pair: Pair) -> None:
        """Let nothing through; what is sent meanwhile arrives when it is healed."""
        self._change(pair, lambda link: link.flowing.clear())

    def delay(self, pair: Pair, seconds: float) -> None:
        """Let everything through so much later."""

        def act(link: Link) -> None:
            link.delay_s = seconds

        self._change(pair, act)

    def heal(self, pair: Pair) -> None:
        """End what was done to a pair."""

        def act(link: Link) -> None:
            link.is_cut, link.delay_s = False, 0.0
            link.flowing.set()

        self._change(pair, act)

    def callers_seen(self) -> set[str]:
        """Return the callers of connections so far; empty text stands for an unknown one."""
        return {pair.caller for pair in self._links}

    def _change(self, pair: Pair, act: Callable[[Link], None]) -> None:
        async def change() -> None:
            act(self._links[pair])

        self._do(change())

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _acceptor(
        self, target: str, behind: tuple[str, int]
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = self._loop.create_task(self._serve(reader, writer, target, behind))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return accept

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str, behind: tuple[str, int]
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            far_reader, far_writer = await asyncio.open_connection(*behind)
        except OSError:
            writer.transport.abort()
            return
        link = await self._link_of(writer.get_extra_info("peername"), target)
        link.connections.add(task)
        try:
            if not link.is_cut:
                await self._join(_forward(link, reader, far_writer), _forward(link, far_reader, writer))
        except asyncio.CancelledError:
            pass  # cut
        finally:
            link.connections.discard(task)
            writer.transport.abort()
            far_writer.transport.abort()

    async def _link_of(self, peer: tuple[str, int], target: str) -> Link:
        caller = await asyncio.to_thread(owner_of, peer, list(self._callers))
        return self._links[Pair(self._callers.get(caller or 0, ""), target)]

    async def _join(self, *ways: Coroutine[Any, Any, None]) -> None:
        tasks = [self._loop.create_task(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _open_link() -> Link:
    link = Link()
    link.flowing.set()
    return link


async def _forward(link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send on what comes, in order, each chunk when the link lets it through; return at its end."""
    loop = asyncio.get_running_loop()
    held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_HELD_MAX)

    async def send() -> None:
        while True:
            due_s, chunk = await held.get()
            if (early_s := due_s - loop.time()) > 0:
                await asyncio.sleep(early_s)
            await link.flowing.wait()
            if not chunk:
                return
            writer.write(chunk)
            await writer.drain()

    async def take() -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                await held.put((loop.time() + link.delay_s, chunk))
        await held.put((loop.time() + link.delay_s, b""))

    taking = loop.create_task(take())
    try:
        await send()
    finally:
        taking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await taking
