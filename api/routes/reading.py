"""What a client asks to read -> the operation."""

from __future__ import annotations

from api.validation.reads import Reading
from common.protocol.operations import Caller, Read


def read_operation(application: str, queue: str, caller: Caller, reading: Reading) -> Read:
    """Return the operation that reads what was asked for."""
    return Read(
        application=application,
        caller=caller,
        queue=queue,
        partitions=reading.partitions,
        since=reading.since,
        after=reading.after,
        until=reading.until,
        cursor=reading.cursor,
        limit=reading.limit,
        descending=reading.descending,
        wait_ms=reading.wait_ms,
    )
