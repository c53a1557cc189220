"""The clocks of the store's hosts, each read between two moments of the caller's own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from common.clock import Clock
from storage_node.store.cql.session import CqlSession
from storage_node.store.errors import StoreError
from storage_node.store.interface import HostTime

HOSTS_MAX: Final = 5
"""Hosts asked at a time."""


class Clocks:
    """Reads the clocks of several hosts at once."""

    def __init__(self, session: CqlSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    async def read(self) -> Sequence[HostTime]:
        """Return the times of those that answer."""
        hosts = self._session.connection.hosts[:HOSTS_MAX]
        answers = await asyncio.gather(*[self._read_one(host) for host in hosts])
        return [answer for answer in answers if answer is not None]

    async def _read_one(self, host: object) -> HostTime | None:
        sent_ticks = self._clock.now_ticks()
        try:
            ((host_id,),) = await self._session.read("host_time", host=host)
        except StoreError:
            return None
        return HostTime(sent_ticks, host_id.time, self._clock.now_ticks())
