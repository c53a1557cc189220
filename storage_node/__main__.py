"""A storage node's process: ``python -m storage_node [--process N]``; wires the parts, serves, drains on SIGTERM.

The order of an end: marked in the register, so that front ends turn to others; then no new operations, and those
under way are finished; then what delivery holds in memory is written; then out of the register, which so tells of
the node as long as anything of it may still change; the store is closed last.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import signal
import sys
import uuid
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

import structlog
from prometheus_client.registry import CollectorRegistry

from common.clock import SYSTEM_CLOCK
from common.homes import is_home
from common.link_keys import LinkKeyError, read_curve_secret
from common.logs import LineWriter, configure_logs
from common.metrics import Meter
from common.settings import BadSettingsError, Settings, load_settings
from common.tracing import tracer_or_none
from storage_node.delivery.service import Delivery
from storage_node.dispatch import Dispatch
from storage_node.gatekeeper import public_key_of
from storage_node.log.logs import Logs
from storage_node.members import Register
from storage_node.metering import Drops, Exposition, Metered, Traced, measure_loop, measure_store
from storage_node.queues import Queues
from storage_node.quotas import Quotas
from storage_node.server import NodeServer
from storage_node.store.errors import StoreError
from storage_node.store.interface import HostClocks, Store
from storage_node.stored_bytes import stored_bytes_of

CONFIGURATION_EXIT: Final = 78
"""Exit status of a process whose configuration is wrong (``EX_CONFIG``)."""

THREAD_SWITCH_S: Final = 0.0005
"""Seconds that one thread may keep the interpreter while the store's threads or the event loop want it: Python's own
5 ms is as long as a commit, and each commit would wait for it."""

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


def main() -> int:
    """Run one node until it is told to stop; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m storage_node", description="One storage node of Queuey.")
    parser.add_argument("--process", type=int, default=0, metavar="N", help="number of this process, from 0")
    process: int = parser.parse_args().process
    configure_logs(f"storage_node_{process}")
    sys.setswitchinterval(THREAD_SWITCH_S)
    try:
        settings = load_settings()
        asyncio.run(_serve(settings, process))
    except BadSettingsError as error:
        _log.error("configuration_refused", file=error.file, problems=[str(problem) for problem in error.problems])
        return CONFIGURATION_EXIT
    except LinkKeyError as error:
        _log.error("link_key_refused", error=str(error))
        return CONFIGURATION_EXIT
    except StoreError as error:
        _log.error("store_not_opened", error=str(error))
        return 1
    except OSError as error:
        _log.error("endpoint_not_bound", error=str(error))
        return 1
    return 0


async def _serve(settings: Settings, process: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    store = await _open_store(settings)
    try:
        node = Node(store, settings, process)
        await node.run(stop)
    finally:
        await store.close()
    _log.info("node_stopped")


class Node:
    """The parts of one storage node over an open store."""

    def __init__(self, store: Store, settings: Settings, process: int) -> None:
        """``process`` is the number of this process on its machine.

        Raises:
            LinkKeyError: the configured file holds no secret key.
        """
        link = settings.storage_node
        secret = read_curve_secret(link.curve_secret_file)
        rng = random.SystemRandom()
        self._store = store
        self._member_id = uuid.uuid4().hex
        queues = Queues(store, clock=SYSTEM_CLOCK, rng=rng, applications=settings.applications)
        host_clocks = store if isinstance(store, HostClocks) else None
        self._stored = stored_bytes_of(store, settings.applications, clock=SYSTEM_CLOCK, member_id=self._member_id)
        self._logs = Logs(
            store,
            queues,
            clock=SYSTEM_CLOCK,
            rng=rng,
            host_clocks=host_clocks,
            on_stored=self._stored.note if self._stored else None,
        )
        self._delivery = Delivery(store, queues, self._logs, clock=SYSTEM_CLOCK, rng=rng)
        self._register = Register(
            store,
            member_id=self._member_id,
            address=link.address(process),
            version=version("queuey-service"),
            load=lambda: (self._server.in_flight, self._server.waiting),
            curve_key=public_key_of(secret) if secret else "",
        )
        dispatch = Dispatch(
            store,
            queues,
            self._logs,
            self._delivery,
            members=self._register.members,
            clock=SYSTEM_CLOCK,
            is_home=partial(is_home, settings),
        )
        self._metrics_address = link.metrics_address(process)
        meter = Meter(CollectorRegistry())
        measure_store(store, meter, SYSTEM_CLOCK)
        self._meter = meter
        handler = Metered(
            Quotas(dispatch, store, applications=settings.applications, stored=self._stored),
            meter,
            applications=settings.applications,
            clock=SYSTEM_CLOCK,
            lines=LineWriter(f"storage_node_{process}", SYSTEM_CLOCK, defer=asyncio.get_running_loop().call_soon),
        )
        tracer = tracer_or_none("queuey-storage-node")
        self._server = NodeServer(
            link.endpoint(process),
            handler if tracer is None else Traced(handler, tracer),
            end_waits=self._logs.drain,
            curve_secret=secret,
            allowed_keys=link.allowed_keys,
        )
        meter.show(Drops(self._drops))
        self._exposition = Exposition(
            meter, in_flight=lambda: self._server.in_flight, waiting=lambda: self._server.waiting
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set, then drain."""
        endpoint = self._server.start()
        self._logs.start()
        beat = asyncio.create_task(self._register.beat())
        background = [
            asyncio.create_task(measure_loop(self._meter, SYSTEM_CLOCK)),
            *(self._stored.start() if self._stored else ()),
        ]
        try:
            if self._metrics_address is not None:
                self._exposition.start(*self._metrics_address)
            await self._register.enter()
            gc.freeze()  # what is there now stays: the collector need not look at it again and again
            _log.info("node_ready", endpoint=endpoint, member=self._member_id, store=type(self._store).__name__)
            await stop.wait()
            await self._drain()
        finally:
            for task in background:
                task.cancel()
            self._exposition.close()
            self._server.close()
            await self._delivery.close()
            await self._logs.close()
            if self._stored:
                await self._stored.close()
            beat.cancel()
            await self._register.leave()

    def _drops(self) -> dict[str, int]:
        return {reason: count for reason, count in vars(self._server.counters).items() if reason != "requests"}

    async def _drain(self) -> None:
        _log.info("node_draining", in_flight=self._server.in_flight, waiting=self._server.waiting)
        await self._register.drain()
        await self._server.drain()


async def _open_store(settings: Settings) -> Store:
    if settings.store.backend == "cassandra":
        from storage_node.store.cql import open_cassandra_store

        return await open_cassandra_store(settings.store, is_home=partial(is_home, settings))
    from storage_node.store.sqlite import open_sqlite_store

    return await open_sqlite_store(Path(settings.store.path))


if __name__ == "__main__":
    sys.exit(main())
