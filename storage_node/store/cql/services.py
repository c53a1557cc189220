"""Revocations and the register of storage nodes; both expire by themselves."""

from __future__ import annotations

from typing import Final

import msgspec

from common.clock import Clock, unix_ms_to_ticks
from storage_node.store.cql.session import CqlSession
from storage_node.store.cql.times import ttl_until
from storage_node.store.interface import MemberRow, RevocationRow

_MEMBER_DECODER: Final = msgspec.json.Decoder(MemberRow)


class Services:
    """What is neither queue nor message."""

    def __init__(self, session: CqlSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    async def revoke(self, application: str, row: RevocationRow) -> None:
        """Add a revocation; the later and higher of several stand."""
        ttl_s = ttl_until(unix_ms_to_ticks(row.expires_ms), self._clock.now_ticks())
        await self._session.write("revoke", application, row.link_id, row.epoch, row.expires_ms, ttl_s)

    async def list_revocations(self, application: str, *, now_ms: int) -> list[RevocationRow]:
        """Return the revocations that have not expired, one a link."""
        found: dict[str, RevocationRow] = {}
        for row in [RevocationRow(*cells) for cells in await self._session.read("list_revocations", application)]:
            if row.expires_ms > now_ms:
                known = found.get(row.link_id, row)
                epoch, expires_ms = max(known.epoch, row.epoch), max(known.expires_ms, row.expires_ms)
                found[row.link_id] = RevocationRow(row.link_id, epoch, expires_ms)
        return list(found.values())

    async def write_member(self, row: MemberRow, *, ttl_s: int) -> None:
        """Write or refresh a node's entry."""
        await self._session.write("write_member", row.member_id, msgspec.json.encode(row), ttl_s)

    async def remove_member(self, member_id: str) -> None:
        """Take a node out of the register."""
        await self._session.write("remove_member", member_id)

    async def list_members(self) -> list[MemberRow]:
        """Return the live entries."""
        return [_MEMBER_DECODER.decode(row) for (row,) in await self._session.read("list_members")]
