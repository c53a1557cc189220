"""What everything in the log works with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from common.clock import Clock
from storage_node.log.ahead import Ahead
from storage_node.log.buckets import Buckets
from storage_node.log.clockcheck import ClockCheck
from storage_node.log.floor import Floor
from storage_node.log.ids import Stamper
from storage_node.log.waiters import Waiters
from storage_node.log.warm import Recent, Undelayed, WarmLog
from storage_node.queues import Queues
from storage_node.store.interface import LogAddress, Store


class Tools:
    """Store, clock and memory of one node."""

    def __init__(
        self,
        store: Store,
        queues: Queues,
        *,
        clock: Clock,
        stamper: Stamper,
        floor: Floor,
        clock_check: ClockCheck,
        on_stored: Callable[[str, int, int], None] | None = None,
    ) -> None:
        """``on_stored`` is told of every body stored: application, bytes, ticks of its expiry."""
        self.store = store
        self.queues = queues
        self.clock = clock
        self.stamper = stamper
        self.floor = floor
        self.clock_check = clock_check
        self.on_stored = on_stored
        self.waiters = Waiters()
        self.warm: Recent[LogAddress, WarmLog] = Recent(WarmLog)
        self.undelayed = Undelayed()
        self.buckets = Buckets(store, clock=clock, warm=self.warm)
        self.ahead = Ahead(self.buckets)
        self.several_nodes: Final = store.capabilities.several_nodes
