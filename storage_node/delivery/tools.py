"""Small tools of this package."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")
AT_ONCE: Final = 16
"""Partitions of one request that are looked at side by side."""


async def in_parts(call: Callable[[T], Awaitable[R]], items: Sequence[T]) -> list[R]:
    """Call for every item, some at a time; results in order."""
    results: list[R] = []
    for first in range(0, len(items), AT_ONCE):
        results += await asyncio.gather(*(call(item) for item in items[first : first + AT_ONCE]))
    return results
