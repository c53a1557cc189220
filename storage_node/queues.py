"""The catalogue: queues by name, with the age of what is known of them."""

from __future__ import annotations

import random
from collections.abc import Mapping

from common.clock import Clock
from common.protocol.operations import QueueSettings
from common.settings import ApplicationSettings
from storage_node.store.interface import QueueRow, Store


class Queues:
    """Create, change, delete and find queues.  Rows are remembered for less than D/2, and a bounded number of them."""

    def __init__(
        self, store: Store, *, clock: Clock, rng: random.Random, applications: Mapping[str, ApplicationSettings]
    ) -> None:
        raise NotImplementedError

    async def find(self, application: str, name: str, *, fresh: bool = False) -> QueueRow:
        """Return the queue's row, at most D/2 old; ``fresh``: read after this call began.

        Raises:
            FailureError: ``QUEUE_NOT_FOUND``, always from a fresh read.
        """
        raise NotImplementedError

    async def stands(self, row: QueueRow) -> bool:
        """Is this still the queue of its name (same internal id), by knowledge less than D/2 old?"""
        raise NotImplementedError

    async def create(self, application: str, name: str, settings: QueueSettings) -> QueueRow:
        """Create, or change what was sent of an existing queue."""
        raise NotImplementedError
