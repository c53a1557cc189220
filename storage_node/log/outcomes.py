"""What a store's errors are to a client."""

from __future__ import annotations

from typing import Final

from common.protocol.failures import Code, Failure
from storage_node.store.errors import (
    StoreError,
    StoreFailedError,
    StoreFullError,
    StoreOverloadedError,
)

OUTCOME_UNKNOWN: Final = Failure(Code.OUTCOME_UNKNOWN, "storage", "It may or may not have been done.", 1_000)
STORE_UNAVAILABLE: Final = Failure(Code.STORE_UNAVAILABLE, "storage", "The store can't be reached.", 1_000)
STORE_FULL: Final = Failure(Code.STORE_FULL, "storage", "The store has no space left.", 10_000)
STORE_OVERLOADED: Final = Failure(Code.OVERLOADED, "storage", "The store has too much to do.", 1_000)
PARTITION_OVERLOADED: Final = Failure(Code.OVERLOADED, "partition", "Too much waits for this partition.", 1_000)
CLOCK_UNSURE: Final = Failure(Code.CLOCK_UNSURE, "clock", "The node's clock has no good measurement.", 1_000)
KEY_CONFLICT: Final = Failure(
    Code.IDEMPOTENCY_CONFLICT, "idempotency_key", "Another message was published under this key."
)
EMPTIED: Final = Failure(
    Code.OUTCOME_UNKNOWN, "queue", "The queue was deleted or emptied while this was under way.", 100
)


def failure_of(error: StoreError) -> Failure:
    """Return what to answer where a store raised this."""
    match error:
        case StoreFullError():
            return STORE_FULL
        case StoreOverloadedError():
            return STORE_OVERLOADED
        case StoreFailedError():
            return STORE_UNAVAILABLE
        case _:
            return OUTCOME_UNKNOWN
