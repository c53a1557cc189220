"""Erasing deleted queues' data and expired rows in the background, a bounded step at a time."""

from __future__ import annotations

import asyncio

import structlog

from common.clock import Clock
from common.limits import ERASE_IDLE_MS, ERASE_PAUSE_MS
from storage_node.store.errors import StoreError
from storage_node.store.interface import Store

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


async def erase(store: Store, clock: Clock) -> None:
    """Erase until cancelled: step by step with a short pause while there is more, else with a long one."""
    while True:
        try:
            more = await store.erase_step(now_ticks=clock.now_ticks())
        except StoreError as error:
            _log.warning("erase_failed", error=str(error))
            more = 0
        except Exception as error:  # one row that nobody expected must not end erasing for good
            _log.error("erase_failed_unexpectedly", exc_info=error)
            more = 0
        await asyncio.sleep((ERASE_PAUSE_MS if more else ERASE_IDLE_MS) / 1000)
