"""A storage node's process: ``python -m storage_node [--process N]``; wires the parts, serves, drains on SIGTERM.

The order of an end: out of the register, so that front ends turn to others; then no new operations, and those
under way are finished; then what delivery holds in memory is written; the store is closed last.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
import structlog

from common.clock import SYSTEM_CLOCK
from common.logs import configure_logs
from common.protocol.envelope import RequestContext
from common.protocol.failures import Code, refuse
from common.protocol.operations import Done, ListMembers, Operation, Ping
from common.settings import BadSettingsError, Settings, StoreSettings, load_settings
from storage_node.members import Register
from storage_node.server import Handler, NodeServer
from storage_node.store.errors import StoreError, StoreFailedError
from storage_node.store.interface import Store

CONFIGURATION_EXIT: Final = 78
"""Exit status of a process whose configuration is wrong (``EX_CONFIG``)."""

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


def main() -> int:
    """Run one node until it is told to stop; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m storage_node", description="One storage node of Queuey.")
    parser.add_argument("--process", type=int, default=0, metavar="N", help="number of this process, from 0")
    process: int = parser.parse_args().process
    configure_logs(f"storage_node_{process}")
    try:
        settings = load_settings()
        asyncio.run(_serve(settings, process))
    except BadSettingsError as error:
        _log.error("configuration_refused", file=error.file, problems=[str(problem) for problem in error.problems])
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
    store = await _open_store(settings.store)
    try:
        await _serve_store(store, settings.storage_node.endpoint(process), stop)
    finally:
        await store.close()
    _log.info("node_stopped")


async def _serve_store(store: Store, endpoint: str, stop: asyncio.Event) -> None:
    member_id = uuid.uuid4().hex
    register = Register(
        store,
        member_id=member_id,
        address=endpoint,
        version=version("queuey-service"),
        load=lambda: (server.in_flight, server.waiting),
    )
    server = NodeServer(endpoint, _handler(store, register), clock=SYSTEM_CLOCK)
    server.start()
    await register.enter()
    beat = asyncio.create_task(register.beat())
    _log.info("node_ready", endpoint=endpoint, member=member_id, store=type(store).__name__)
    try:
        await stop.wait()
        _log.info("node_draining", in_flight=server.in_flight, waiting=server.waiting)
        await register.leave()
        await server.drain()
    finally:
        beat.cancel()
        server.close()


def _handler(store: Store, register: Register) -> Handler:
    async def handle(operation: Operation, _: RequestContext) -> msgspec.Struct:
        if isinstance(operation, ListMembers):
            return await register.members()
        if isinstance(operation, Ping):
            return await _ping(store, operation)
        raise refuse(Code.UNAVAILABLE, "node", "does not serve this operation")

    return handle


async def _ping(store: Store, operation: Ping) -> Done:
    try:
        if operation.store:
            await store.ping()
    except StoreError as error:
        raise refuse(Code.STORE_UNAVAILABLE, "store", "does not answer") from error
    return Done()


async def _open_store(settings: StoreSettings) -> Store:
    if settings.backend == "cassandra":
        raise StoreFailedError("this build has no Cassandra store")
    from storage_node.store.sqlite import open_sqlite_store

    return await open_sqlite_store(Path(settings.path))


if __name__ == "__main__":
    sys.exit(main())
