"""``python -m tests.support.hostile_node``: a storage node whose clock is wrong and whose plain writes land late.

All else is the product as it is.  ``HOSTILE`` in the environment tells how: JSON of ``skew_ms`` (its clock against
the machine's), ``late_ms`` (each plain append waits for half of it to all of it before it is sent), and
``window_ms``, which breaks the rule of ``complete_until``: what is that old counts as decided.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import Sequence

from common.clock import SystemClock
from common.guarantees import Consistency
from common.identifiers import TICKS_PER_MS

HOSTILE = "HOSTILE"


def skew_clock(skew_ms: int) -> None:
    """Set the wall clock of this process off."""
    true_ticks = SystemClock.now_ticks
    SystemClock.now_ticks = lambda self: true_ticks(self) + skew_ms * TICKS_PER_MS  # type: ignore[method-assign]


def delay_appends(late_ms: int) -> None:
    """Hold every plain append back, stamped already, before the store sees it."""
    from storage_node.store.cql.store import CassandraStore
    from storage_node.store.interface import LogAddress, StoredMessage

    append = CassandraStore.append_plain

    async def late(
        self: CassandraStore,
        log: LogAddress,
        bucket: int,
        messages: Sequence[StoredMessage],
        *,
        consistency: Consistency,
    ) -> None:
        await asyncio.sleep(random.uniform(late_ms / 2000, late_ms / 1000))
        await append(self, log, bucket, messages, consistency=consistency)

    CassandraStore.append_plain = late  # type: ignore[method-assign]


def break_window(window_ms: int) -> None:
    """Promise more than the rule allows."""
    from storage_node.log import bounds

    bounds.WINDOW_TICKS = window_ms * TICKS_PER_MS  # type: ignore[misc]


if __name__ == "__main__":
    ways = json.loads(os.environ[HOSTILE])
    skew_clock(ways.get("skew_ms", 0))
    if ways.get("late_ms"):
        delay_appends(ways["late_ms"])
    if ways.get("window_ms"):
        break_window(ways["window_ms"])
    from storage_node.__main__ import main

    sys.exit(main())
