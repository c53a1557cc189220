"""How many bytes of message bodies an application has in the store, counted without a look at each publish.

A store of one node measures them: it reads the lengths of all bodies once a minute, and what is stored in between
is added.  Nodes that share a store keep shares of the sum instead (``storage_node.shares``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final, Protocol, runtime_checkable

from common.clock import Clock
from common.settings import ApplicationSettings
from storage_node.shares import SharedSums
from storage_node.store.errors import StoreError
from storage_node.store.interface import Store
from storage_node.store.shares import KeepsShares

MEASURE_EVERY_S: Final = 60.0
"""Seconds between two measurements of stored bytes, at least."""
MEASURE_SHARE: Final = 100
"""A measurement that took long is followed by a pause of that many times its length."""


class StoredBytes(Protocol):
    """The sums of those applications that have a quota; nothing is counted of any other."""

    async def used(self, application: str) -> int:
        """Return the sum as far as it is known, 0 where nothing is known."""

    def note(self, application: str, size_bytes: int, expires_ticks: int) -> None:
        """Add a body that is stored until then."""

    def start(self) -> list[asyncio.Task[None]]:
        """Begin what runs in the background; the tasks run until cancelled."""

    async def close(self) -> None:
        """Write what is not written, once nothing is stored any more."""


@runtime_checkable
class MeasuresBytes(Protocol):
    """What a store that can tell an application's stored bytes offers besides ``Store``."""

    async def stored_bytes(self, application: str, *, now_ticks: int) -> int:
        """Return the bytes of the bodies of all live messages of an application; reads all of them."""


def stored_bytes_of(
    store: Store, applications: Mapping[str, ApplicationSettings], *, clock: Clock, member_id: str
) -> StoredBytes | None:
    """Return what counts on this store; ``None`` where no application has a quota of stored bytes."""
    limited = [name for name, application in applications.items() if application.quotas.stored_bytes]
    if limited and isinstance(store, KeepsShares):
        return SharedSums(store, limited, clock=clock, member_id=member_id)
    if limited and isinstance(store, MeasuresBytes):
        return MeasuredSums(store, limited, clock=clock)
    return None


class _Sum:
    __slots__ = ("added_bytes", "measured_bytes")

    def __init__(self) -> None:
        self.measured_bytes = 0
        self.added_bytes = 0


class MeasuredSums:
    """Measured again and again, and added to in between."""

    def __init__(self, store: MeasuresBytes, applications: Iterable[str], *, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._sums = {name: _Sum() for name in applications}

    async def used(self, application: str) -> int:
        """Return what was measured last and what came since."""
        known = self._sums[application]
        return known.measured_bytes + known.added_bytes

    def note(self, application: str, size_bytes: int, expires_ticks: int) -> None:  # noqa: ARG002 - it is measured
        """Add a body until the next measurement."""
        known = self._sums.get(application)
        if known is not None:
            known.added_bytes += size_bytes

    def start(self) -> list[asyncio.Task[None]]:
        """Begin to measure, each application by itself."""
        loop = asyncio.get_running_loop()
        return [loop.create_task(self._measure(name, known)) for name, known in self._sums.items()]

    async def close(self) -> None:
        """Nothing is kept: the next start measures anew."""

    async def _measure(self, application: str, known: _Sum) -> None:
        while True:
            begun_s, added_before = self._clock.monotonic_s(), known.added_bytes
            with suppress(StoreError):
                known.measured_bytes = await self._store.stored_bytes(application, now_ticks=self._clock.now_ticks())
                known.added_bytes -= added_before
            took_s = self._clock.monotonic_s() - begun_s
            await asyncio.sleep(max(MEASURE_EVERY_S, took_s * MEASURE_SHARE))
