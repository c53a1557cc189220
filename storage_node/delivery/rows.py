"""The warm rows of a node: a bounded number, forgotten when idle, their leases written before."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from common.clock import Clock
from common.protocol.failures import FailureError
from storage_node.delivery.candidates import Corpse
from storage_node.delivery.cell import Cell
from storage_node.delivery.groups import Groups
from storage_node.delivery.jobs import DrainJob, LookJob, Progress
from storage_node.delivery.row import Row, RowKey
from storage_node.delivery.vigil import Vigil
from storage_node.log.logs import Logs
from storage_node.store.errors import StoreError
from storage_node.store.interface import QueueRow, Store

ROWS_WARM_MAX: Final = 20_000
"""Rows kept in memory."""
IDLE_S_MAX: Final = 60.0
"""Seconds after which an idle row is forgotten."""
SWEEP_S: Final = 10.0
SWEEP_ROWS_MAX: Final = 500
"""Rows looked at in one sweep."""


class Rows:
    """Finds or makes the runner of a row."""

    def __init__(
        self,
        store: Store,
        logs: Logs,
        groups: Groups,
        *,
        clock: Clock,
        rng: random.Random,
        on_corpses: Callable[[Row, list[Corpse]], None],
    ) -> None:
        self._store = store
        self._logs = logs
        self._groups = groups
        self._clock = clock
        self._rng = rng
        self._on_corpses = on_corpses
        self._rows: OrderedDict[RowKey, Row] = OrderedDict()
        self._sweep: asyncio.TimerHandle | None = None
        self._draining: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return len(self._rows)

    def of(self, queue: QueueRow, partition: int, group: str) -> Row:
        """Return the runner of this row, made if it is not warm."""
        key = RowKey(queue.queue_id, partition, group)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = self._make(key, queue)
            self._plan_sweep()
        self._rows.move_to_end(key)
        return row

    def _make(self, key: RowKey, queue: QueueRow) -> Row:
        cell = Cell(queue, key.partition, self._logs, clock=self._clock, rng=self._rng)
        look = self._looker(key) if self._store.capabilities.several_nodes else None
        vigil = Vigil(wake=lambda: self._logs.wake(queue.queue_id, key.partition), look=look)
        return Row(
            key,
            cell,
            store=self._store,
            start=self._groups.beginning,
            on_corpses=self._on_corpses,
            vigil=vigil,
        )

    def _looker(self, key: RowKey) -> Callable[[], None]:
        def look() -> None:
            row = self._rows.get(key)
            if row is not None:
                row.submit(row.cell.queue, LookJob()).add_done_callback(wake_if_available)

        def wake_if_available(done: asyncio.Future[Progress]) -> None:
            if not done.cancelled() and done.exception() is None and done.result().available:
                row = self._rows.get(key)
                if row is not None:
                    self._logs.wake(row.cell.queue.queue_id, key.partition)

        return look

    # forgetting

    def _plan_sweep(self) -> None:
        if self._sweep is None and self._rows:
            self._sweep = asyncio.get_running_loop().call_later(SWEEP_S, self._forget_idle)

    def _forget_idle(self) -> None:
        self._sweep = None
        now_s = self._clock.monotonic_s()
        too_many = len(self._rows) - ROWS_WARM_MAX
        for number, row in enumerate([*self._rows.values()][:SWEEP_ROWS_MAX]):
            if number >= too_many and now_s - row.used_s < IDLE_S_MAX:
                break
            self._forget(row)
        self._plan_sweep()

    def _forget(self, row: Row) -> None:
        if row.busy or row.vigil.waiting or row.cell.dying:
            self._rows.move_to_end(row.key)
        elif row.holds_leases:
            self._rows.move_to_end(row.key)
            self._watch(row.submit(row.cell.queue, DrainJob()))
        else:
            del self._rows[row.key]

    def _watch(self, future: asyncio.Future[None]) -> None:
        self._draining.add(future)
        future.add_done_callback(self._drained)

    def _drained(self, future: asyncio.Future[None]) -> None:
        self._draining.discard(future)
        if not future.cancelled():
            future.exception()

    async def drain(self) -> None:
        """Write the leases of this node's memory into their rows, so that the next node honours them."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for row in [*self._rows.values()]:
            if row.holds_leases:
                with suppress(FailureError, StoreError):
                    await row.submit(row.cell.queue, DrainJob())
        self._rows.clear()
