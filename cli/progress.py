"""How far a long command has come: a bar on standard error where that is a terminal, else a line now and then."""

from __future__ import annotations

import sys
from typing import Final, TextIO

from common.clock import SYSTEM_CLOCK

BAR_CHARS: Final = 30
TERMINAL_S: Final = 0.1
"""Seconds between two pictures on a terminal."""
LOG_S: Final = 5.0
"""Seconds between two lines elsewhere."""


class Progress:
    """Counts ``unit`` up to ``total`` (0: not known)."""

    def __init__(self, unit: str, *, total: int = 0, stream: TextIO | None = None) -> None:
        self._unit = unit
        self.total = total
        self.done = 0
        self._shown = False
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._next_s = 0.0 if self._terminal else SYSTEM_CLOCK.monotonic_s() + LOG_S

    def add(self, count: int) -> None:
        """Say that so many more are done."""
        self.done += count
        self._show(final=False)

    def set(self, done: int, total: int) -> None:
        """Say how many are done, of how many."""
        self.done, self.total = done, total
        self._show(final=False)

    def end(self) -> None:
        """Show where it ended: where there is no terminal, only if anything was shown before."""
        if self._terminal or self._shown:
            self._show(final=True)

    def _show(self, *, final: bool) -> None:
        now_s = SYSTEM_CLOCK.monotonic_s()
        if now_s < self._next_s and not final:
            return
        self._shown = True
        self._next_s = now_s + (TERMINAL_S if self._terminal else LOG_S)
        end = "\n" if final or not self._terminal else ""
        self._stream.write(f"{chr(13) if self._terminal else ''}{self._text()}{end}")
        self._stream.flush()

    def _text(self) -> str:
        if not self.total:
            return f"{self.done} {self._unit}"
        share = min(1.0, self.done / self.total)
        filled = round(share * BAR_CHARS)
        return f"[{'#' * filled}{'.' * (BAR_CHARS - filled)}] {self.done}/{self.total} {self._unit}"
