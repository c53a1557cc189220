"""Identifiers that no other process and no other call makes: a random beginning, then a number."""

from __future__ import annotations

import itertools
import secrets
from typing import Final

_BEGINNING_BYTES: Final = 8


class SerialIds:
    """Makes texts of 24 hex digits, each once, at a tenth of the cost of 12 random bytes each.

    They can be guessed by whoever knows one of them: they name things, and let nobody do anything.
    """

    def __init__(self) -> None:
        """Draw the beginning: one object per process, made after the fork."""
        self._beginning = secrets.token_hex(_BEGINNING_BYTES)
        self._numbers = itertools.count(secrets.randbits(24))

    def next(self) -> str:
        """Return one."""
        return f"{self._beginning}{next(self._numbers):08x}"
