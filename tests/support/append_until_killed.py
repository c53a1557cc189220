"""A process that appends without end and says what was acknowledged, one line each: ``writer.number id``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from common.identifiers import QueueId, make_id, ticks_of
from storage_node.store.interface import Applied, Behind, Lane, LogAddress, LogKey, Store
from storage_node.store.sqlite import open_sqlite_store
from tests.support.store_calls import LOW, append, message, now

QUEUE_ID = QueueId(b"crash-test-queue")
WRITERS = 8


def log_of(writer: int) -> LogAddress:
    """Two writers share a log."""
    return LogAddress(QUEUE_ID, writer // 2 + 1, Lane.LIVE, 1)


def body_of(name: str) -> bytes:
    """Return a body that its name proves."""
    return name.encode() * (1 + len(name) * 7)


async def write(store: Store, writer: int, run: str) -> None:
    number, ticks = 0, now()
    while True:
        name = f"{run}.{writer}.{number}"
        message_id = make_id(ticks, LOW)
        answer = await append(
            store,
            log_of(writer),
            0,
            [message(message_id, body_of(name))],
            keys=[LogKey(name.encode(), message_id)],
        )
        if answer == Applied():
            sys.stdout.write(f"{name} {message_id.hex()}\n")
            sys.stdout.flush()
            number += 1
            ticks = max(now(), ticks + 1)
        elif isinstance(answer, Behind):
            ticks = max(now(), ticks_of(answer.last) + 1)


async def main() -> None:
    store = await open_sqlite_store(Path(sys.argv[1]))
    await asyncio.gather(*[write(store, writer, sys.argv[2]) for writer in range(WRITERS)])


if __name__ == "__main__":
    asyncio.run(main())
