"""Filling a SQLite file with queues, each with its first message, without the service before it."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from common.clock import SYSTEM_CLOCK
from common.identifiers import TICKS_PER_SECOND, make_id
from common.limits import TTL_S_DEFAULT
from common.protocol.operations import QueueSettings
from common.settings import ApplicationSettings
from storage_node.log.ids import Stamper
from storage_node.queues import Queues
from storage_node.store.interface import Lane, LogAddress, Store, StoredMessage
from storage_node.store.sqlite import open_sqlite_store
from tests.support.store_calls import STRONG

PREFIX: Final = "q-"
BODY: Final = b"x" * 100
CALLERS: Final = 256
SHOWN_EVERY: Final = 100_000


def name_of(number: int) -> str:
    """Return the name that ``lua/load.lua`` gives this number: neighbours in number are none in a tree of names."""
    return f"{PREFIX}{number * 2654435761 % (1 << 32):08x}"


async def fill(path: Path, application: str, count: int) -> None:
    """Make the file with so many queues."""
    store = await open_sqlite_store(path)
    rng = random.Random(count)
    queues = Queues(store, clock=SYSTEM_CLOCK, rng=rng, applications={application: ApplicationSettings()})
    stamper = Stamper(SYSTEM_CLOCK, rng)
    numbers = iter(range(count))
    await asyncio.gather(*[_fill_some(store, queues, stamper, application, numbers) for _ in range(CALLERS)])
    await store.close()


async def _fill_some(
    store: Store, queues: Queues, stamper: Stamper, application: str, numbers: Iterator[int]
) -> None:
    for number in numbers:
        if number and number % SHOWN_EVERY == 0:
            sys.stderr.write(f"{number:,} queues\n")
        row = await queues.create(application, name_of(number), QueueSettings())
        ticks = stamper.stamp()
        expires_ticks = ticks + TTL_S_DEFAULT * TICKS_PER_SECOND
        message = StoredMessage(make_id(ticks, stamper.live_low), BODY, "text/plain", {}, expires_ticks)
        log = LogAddress(row.queue_id, 1, Lane.LIVE, row.lifetime)
        await store.append_fenced(log, 0, [message], consistency=STRONG)
