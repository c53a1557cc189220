"""The register of live nodes: this one's sign of life, and who else is there.

Nothing rests on the register but speed: a node that is missing in it, or is there too long, endangers no guarantee.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from common.clock import SYSTEM_CLOCK, Clock, ticks_to_unix_ms
from common.limits import HEARTBEAT_MS, MEMBER_GONE_MS
from common.protocol.failures import Code, refuse
from common.protocol.operations import Member, Members
from storage_node.store.errors import StoreError
from storage_node.store.interface import MemberRow, Store

SERVING: Final = "serving"
DRAINING: Final = "draining"
MEMBERS_KEPT_S: Final = 0.5
"""Seconds for which one reading of the register answers everybody who asks."""

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Register:
    """Keeps one node in the register and answers who is in it."""

    def __init__(
        self,
        store: Store,
        *,
        member_id: str,
        address: str,
        version: str,
        load: Callable[[], tuple[int, int]],
        clock: Clock = SYSTEM_CLOCK,
        curve_key: str = "",
    ) -> None:
        """``address`` is where front ends connect to; ``load`` tells the requests in flight and those waiting;
        ``curve_key`` is this node's public key, empty where the link is not encrypted."""
        self._store = store
        self._member_id = member_id
        self._address = address
        self._version = version
        self._load = load
        self._curve_key = curve_key
        self._clock = clock
        self._started_ms = ticks_to_unix_ms(clock.now_ticks())
        self._state = SERVING
        self._left = False
        self._known: Members | None = None
        self._known_s = 0.0
        self._reading: asyncio.Task[Members] | None = None

    async def enter(self) -> None:
        """Write this node's entry, or refresh it."""
        in_flight, waiting = self._load()
        row = MemberRow(
            member_id=self._member_id,
            address=self._address,
            state=self._state,
            started_ms=self._started_ms,
            version=self._version,
            in_flight=in_flight,
            waiting=waiting,
            curve_key=self._curve_key,
        )
        await self._store.write_member(row, ttl_s=MEMBER_GONE_MS // 1000)

    async def beat(self) -> None:
        """Refresh the entry until cancelled; a store that fails is asked again."""
        while not self._left:
            await asyncio.sleep(HEARTBEAT_MS / 1000)
            try:
                await self.enter()
            except StoreError as error:
                _log.warning("heartbeat_failed", error=str(error))

    async def drain(self) -> None:
        """Say that this node ends what is under way and takes nothing new; front ends turn to others."""
        self._state = DRAINING
        self._known = None
        try:
            await self.enter()
        except StoreError as error:
            _log.warning("draining_not_told", error=str(error))

    async def leave(self) -> None:
        """Take this node out; it stays out."""
        self._left = True
        self._known = None
        try:
            await self._store.remove_member(self._member_id)
        except StoreError as error:
            _log.warning("register_not_left", error=str(error))

    async def members(self) -> Members:
        """Return the live members, as read at most ``MEMBERS_KEPT_S`` ago; older while the store does not answer.

        Raises:
            FailureError: the store has not answered for longer than a member stays without a sign of life.
        """
        age_s = self._clock.monotonic_s() - self._known_s
        if self._known is not None and age_s < MEMBERS_KEPT_S:
            return self._known
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(self._read())
        try:
            return await asyncio.shield(self._reading)
        except StoreError as error:
            if self._known is not None and age_s < MEMBER_GONE_MS / 1000:
                return self._known
            raise refuse(Code.STORE_UNAVAILABLE, "store", "does not answer", HEARTBEAT_MS) from error

    async def _read(self) -> Members:
        asked_s = self._clock.monotonic_s()
        rows = await self._store.list_members()
        known = Members(
            members=tuple(_member(row) for row in rows if row.member_id != self._member_id or not self._left)
        )
        self._known, self._known_s = known, asked_s
        return known


def _member(row: MemberRow) -> Member:
    return Member(
        member_id=row.member_id,
        address=row.address,
        state=row.state,
        started_ms=row.started_ms,
        version=row.version,
        in_flight=row.in_flight,
        waiting=row.waiting,
        curve_key=row.curve_key,
    )
