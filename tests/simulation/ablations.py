"""Rules switched off one at a time."""

from __future__ import annotations

ABLATIONS: dict = {}
