"""Which assertions have been used: each counts once on a front-end machine.

One empty file per used assertion, named by its fingerprint, in a folder per minute of expiry::

    <directory>/<minute of expiry>/<64 hex digits>

Making a file exclusively is the one step that decides, so all processes that share the directory agree, across
restarts too.  A folder goes when nothing in it could be accepted any more.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from common.limits import CLOCK_SKEW_S_MAX

_MINUTE_MS: Final = 60_000
_KEPT_MINUTES: Final = 2 * CLOCK_SKEW_S_MAX // 60 + 2
"""After expiry: clock skew is forgiven twice over, so that another process with a slower clock is covered."""


class Replays:
    """The used assertions, whichever application they were for."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._swept_minute = 0

    def use(self, fingerprint: bytes, *, expires_ms: int, now_ms: int) -> bool:
        """Say whether this is the first use; from now on it is used.

        ``expires_ms`` must be the same for every use of a fingerprint.

        Raises:
            OSError: the directory can't be written; whether it is the first use is unknown.
        """
        self._sweep(now_ms // _MINUTE_MS)
        folder = self._directory / str(expires_ms // _MINUTE_MS)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            (folder / fingerprint.hex()).touch(mode=0o600, exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _sweep(self, minute: int) -> None:
        if minute == self._swept_minute or not self._directory.is_dir():
            return
        self._swept_minute = minute
        for folder in self._directory.iterdir():
            if folder.name.isdecimal() and int(folder.name) + _KEPT_MINUTES < minute:
                with suppress(FileNotFoundError):
                    shutil.rmtree(folder)
