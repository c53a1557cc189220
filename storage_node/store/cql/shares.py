"""Bytes stored, by application, time of expiry and node; plain writes only, each node writes rows of its own."""

from __future__ import annotations

from collections.abc import Sequence

from common.clock import Clock, ticks_to_unix_ms, unix_ms_to_ticks
from storage_node.store.cql.session import CqlSession
from storage_node.store.cql.times import ttl_until
from storage_node.store.shares import Share


class Shares:
    """The shares of all nodes."""

    def __init__(self, session: CqlSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    async def write(self, application: str, shares: Sequence[Share]) -> None:
        """Write rows of one application as one batch."""
        now_ticks = self._clock.now_ticks()
        calls = [
            (
                "write_share",
                (application, share.until_s, share.member_id, share.size_bytes, _ttl_s(share.until_s, now_ticks)),
            )
            for share in shares
        ]
        if calls:
            await self._session.write_batch(calls)

    async def list_live(self, application: str, *, now_ticks: int) -> list[Share]:
        """Return the rows of times to come."""
        now_s = ticks_to_unix_ms(now_ticks) // 1_000
        rows = await self._session.read("list_shares", application, now_s)
        return [Share(member_id, until_s, size_bytes) for until_s, member_id, size_bytes in rows]


def _ttl_s(until_s: int, now_ticks: int) -> int:
    return ttl_until(unix_ms_to_ticks(until_s * 1_000), now_ticks)
