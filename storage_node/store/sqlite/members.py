"""The register of nodes where there can be only one: kept in memory, gone with the process."""

from __future__ import annotations

from common.clock import Clock
from storage_node.store.interface import MemberRow


class MemberRegister:
    """Entries that live for the seconds they were written with."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[str, tuple[MemberRow, float]] = {}

    def write(self, row: MemberRow, *, ttl_s: int) -> None:
        """Write or refresh an entry."""
        self._entries[row.member_id] = (row, self._clock.monotonic_s() + ttl_s)

    def remove(self, member_id: str) -> None:
        """Remove the entry if there is one."""
        self._entries.pop(member_id, None)

    def live(self) -> list[MemberRow]:
        """Return the entries whose time has not ended, by member id."""
        now_s = self._clock.monotonic_s()
        self._entries = {name: entry for name, entry in self._entries.items() if entry[1] > now_s}
        return [self._entries[name][0] for name in sorted(self._entries)]
