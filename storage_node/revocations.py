"""Which links are revoked: read again every few seconds, for applications whose links are used."""

from __future__ import annotations

from typing import NamedTuple

from common.clock import Clock, ticks_to_unix_ms
from common.limits import REVOCATIONS_KEPT_MS
from storage_node.access import Revoked, revoked_of
from storage_node.store.interface import RevocationRow, Store

APPLICATIONS_KEPT_MAX = 1_000


class _Known(NamedTuple):
    revoked: Revoked
    read_s: float


class Revocations:
    """Remembers revocations for less than 5 s."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, _Known] = {}

    async def of(self, application: str) -> Revoked:
        """Return what is revoked, by a read not older than ``REVOCATIONS_KEPT_MS``."""
        known = self._known.get(application)
        began_s = self._clock.monotonic_s()
        if known is not None and began_s - known.read_s < REVOCATIONS_KEPT_MS / 1000:
            return known.revoked
        now_ms = ticks_to_unix_ms(self._clock.now_ticks())
        revoked = revoked_of(await self._store.list_revocations(application, now_ms=now_ms))
        self._known.pop(application, None)
        if len(self._known) >= APPLICATIONS_KEPT_MAX:
            del self._known[next(iter(self._known))]
        self._known[application] = _Known(revoked, began_s)
        return revoked

    async def revoke(self, application: str, row: RevocationRow) -> None:
        """Remember a revocation; it holds on this node at once."""
        await self._store.revoke(application, row)
        self._known.pop(application, None)
