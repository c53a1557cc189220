"""Sums of stored bytes over nodes that share a store: each writes its own numbers and adds up those of all.

A number stands for one application, one node and one time: what the node stored, since it started, of messages that
have expired by then.  It only grows and is written whole, one write after the other, so that writing it twice does no
harm.  A node that starts anew has another name; the rows of its earlier life count on until their time.

Bounded, whatever the number of queues: an application that publishes costs each node one write and one read in
``FRESH_S`` at most, one that does not publish costs nothing.  A time is exact to a thirty-second of the time that the
message had to live, so an application has at most some dozens of rows for each node and length of life.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from common.clock import Clock, ticks_to_unix_ms
from storage_node.store.errors import StoreError
from storage_node.store.shares import KeepsShares, Share

WRITE_EVERY_S: Final = 2.0
"""Seconds between two writes of what this node has stored."""
FRESH_S: Final = 2.0
"""Seconds for which the sum of the other nodes is used as it was read; then the next publish has it read again."""
KEPT_S: Final = 4.0
"""Seconds after which a publish waits for that."""
STEPS_PER_LIFE: Final = 32


class _Tally:
    """One application: what this node stored, and what the others say."""

    __slots__ = ("cells", "others_bytes", "own_bytes", "read_s", "reading", "unwritten")

    def __init__(self) -> None:
        self.cells: dict[int, int] = {}
        """Unix seconds of expiry -> bytes."""
        self.unwritten: set[int] = set()
        self.own_bytes = 0
        self.others_bytes = 0
        self.read_s: float | None = None
        self.reading: asyncio.Task[None] | None = None

    def add(self, until_s: int, size_bytes: int) -> None:
        self.cells[until_s] = self.cells.get(until_s, 0) + size_bytes
        self.own_bytes += size_bytes
        self.unwritten.add(until_s)

    def forget_until(self, now_s: int) -> None:
        for until_s in [each for each in self.cells if each <= now_s]:
            self.own_bytes -= self.cells.pop(until_s)
            self.unwritten.discard(until_s)


class SharedSums:
    """The sums of the applications that have a quota, as one node knows them."""

    def __init__(self, store: KeepsShares, applications: Iterable[str], *, clock: Clock, member_id: str) -> None:
        """``member_id`` is no other process's, nor any earlier one's."""
        self._store = store
        self._clock = clock
        self._member_id = member_id
        self._tallies = {name: _Tally() for name in applications}

    async def used(self, application: str) -> int:
        """Return the sum; that of the other nodes is at most ``KEPT_S`` old while the store answers."""
        tally = self._tallies[application]
        age_s = KEPT_S if tally.read_s is None else self._clock.monotonic_s() - tally.read_s
        if age_s >= FRESH_S:
            if tally.reading is None or tally.reading.done():
                tally.reading = asyncio.get_running_loop().create_task(self._read(application, tally))
            if age_s >= KEPT_S:
                await asyncio.shield(tally.reading)
        return tally.own_bytes + tally.others_bytes

    def note(self, application: str, size_bytes: int, expires_ticks: int) -> None:
        """Add a body to this node's share."""
        tally = self._tallies.get(application)
        if tally is not None:
            tally.add(until_s_of(expires_ticks, self._clock.now_ticks()), size_bytes)

    def start(self) -> list[asyncio.Task[None]]:
        """Begin to write this node's shares."""
        return [asyncio.get_running_loop().create_task(self._write_on())]

    async def close(self) -> None:
        """Write what is not written."""
        await self.write()

    async def write(self) -> None:
        """Write what grew since it was written; what can't be written now is written next time."""
        for application, tally in self._tallies.items():
            tally.forget_until(ticks_to_unix_ms(self._clock.now_ticks()) // 1_000)
            if tally.unwritten:
                await self._write(application, tally)

    async def _write_on(self) -> None:
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            await self.write()

    async def _write(self, application: str, tally: _Tally) -> None:
        grown, tally.unwritten = tally.unwritten, set()
        shares = [Share(self._member_id, until_s, tally.cells[until_s]) for until_s in sorted(grown)]
        written = False
        try:
            await self._store.write_shares(application, shares)
            written = True
        except StoreError:
            return
        finally:
            if not written:
                tally.unwritten |= grown

    async def _read(self, application: str, tally: _Tally) -> None:
        asked_s = self._clock.monotonic_s()
        with suppress(StoreError):  # the last sum stands; the publish itself tells what is wrong
            shares = await self._store.list_shares(application, now_ticks=self._clock.now_ticks())
            tally.others_bytes = sum([one.size_bytes for one in shares if one.member_id != self._member_id])
        tally.read_s = asked_s


def until_s_of(expires_ticks: int, now_ticks: int) -> int:
    """Return the Unix second until which a body is counted: never too early, and late by 1/32 of its life at most.

    A body of less than 32 s is counted to the second.
    """
    expires_s = -(-ticks_to_unix_ms(expires_ticks) // 1_000)
    left_s = expires_s - ticks_to_unix_ms(now_ticks) // 1_000
    step_s = 1 << max(0, (left_s // STEPS_PER_LIFE).bit_length() - 1)
    return -(-expires_s // step_s) * step_s
