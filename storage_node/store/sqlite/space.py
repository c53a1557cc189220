"""Room that is kept on the disk, so that a full one stops publishes alone: leases and acks are written as well."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from storage_node.store.errors import StoreFullError

KEPT_BYTES_MAX: Final = 64 << 20
"""Bytes that appends leave free, besides what the write-ahead log has still to move into the file."""
KEPT_SHARE: Final = 8
"""On a small disk it is this part of it."""


class Space:
    """What is left where a store's file is."""

    def __init__(self, path: Path) -> None:
        self._directory = path.parent
        self._log = path.with_name(f"{path.name}-wal")

    def require(self) -> None:
        """Return if messages may be appended.

        Raises:
            StoreFullError: only what is kept for the rest is left.
        """
        disk = os.statvfs(self._directory)
        kept = min(KEPT_BYTES_MAX, disk.f_blocks * disk.f_frsize // KEPT_SHARE)
        if disk.f_bavail * disk.f_frsize < kept + self._log_bytes():
            raise StoreFullError(f"less than {kept} bytes would be left in {self._directory}")

    def _log_bytes(self) -> int:
        try:
            return self._log.stat().st_size
        except FileNotFoundError:
            return 0
