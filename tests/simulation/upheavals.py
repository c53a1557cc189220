"""Clients that change the queue itself while others work on it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING

from common.protocol import operations as ops
from common.protocol.failures import Code, FailureError
from tests.simulation.scenario import HOSTILE_S

if TYPE_CHECKING:
    from tests.simulation.clients import Clients

PARTITIONS_ADDED = 2


class GoneError(Exception):
    """The queue is not there any more."""


def upheavals_of(clients: Clients) -> list[Coroutine[object, object, None]]:
    """Return what the scenario does to the queue."""
    scenario = clients.scenario
    found: list[Coroutine[object, object, None]] = []
    if scenario.recreate:
        found.append(_recreate(clients))
    if scenario.grow:
        found.append(_grow(clients))
    if scenario.redrive:
        found.append(_redrive_often(clients))
    return found


async def _recreate(clients: Clients) -> None:
    """Delete the queue and make it again under its name."""
    await asyncio.sleep(clients.rng.uniform(0.3, 0.7) * HOSTILE_S)
    sent_s = clients.now_s
    clients.incarnation += 1
    clients.history.recreated_s = (sent_s, float("inf"))
    await _surely(clients, ops.DeleteQueue(**clients.names))
    await _surely(clients, ops.CreateQueue(**clients.names, settings=clients.scenario.settings))
    clients.history.recreated_s = (sent_s, clients.now_s)
    clients.incarnation += 1


async def _surely(clients: Clients, operation: ops.Operation) -> None:
    """Ask until it is done; no attempt is still under way then, which would do it again to the next queue."""
    while True:
        try:
            await clients.network.call_sheltered(operation)
        except FailureError as error:
            if error.failure.code is Code.QUEUE_NOT_FOUND:
                return
            await asyncio.sleep(0.2)
        else:
            return


async def _grow(clients: Clients) -> None:
    """Add partitions, one after the other."""
    loop = asyncio.get_running_loop()
    followers = []
    for _ in range(PARTITIONS_ADDED):
        await asyncio.sleep(clients.rng.uniform(0.1, 0.4) * HOSTILE_S)
        wanted = clients.partitions + 1
        await clients.ask(ops.UpdateQueue(**clients.names, settings=ops.QueueSettings(partitions=wanted)))
        clients.partitions = wanted
        followers.append(loop.create_task(clients.follow(wanted)))
    await asyncio.gather(*followers)


def _redrive(clients: Clients) -> ops.Redrive:
    return ops.Redrive(**{**clients.names, "queue": "dead"}, limit=None)


async def _redrive_often(clients: Clients) -> None:
    """Bring dead letters back while others die."""
    while clients.hostile:
        await asyncio.sleep(clients.rng.uniform(2, 10))
        try:
            await clients.network.call(_redrive(clients))
        except FailureError:
            continue


async def redrive_all(clients: Clients) -> bool:
    """Bring all back that is left; ``True`` if there was nothing."""
    answer: ops.Redriven = await clients.ask(_redrive(clients))
    clients.history.all_redriven = not answer.redriven and not answer.remaining
    return clients.history.all_redriven
