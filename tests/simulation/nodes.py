"""Simulated storage nodes and the network before them: real dispatch, log and delivery behind real routing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

from api.routing import Lost, Pause, Send, call_of, route
from common.limits import PUBLISH_DEADLINE_MS, REQUEST_DEADLINE_MS
from common.protocol.envelope import RequestContext
from common.protocol.failures import Code, Failure, FailureError
from common.protocol.operations import (
    Claim,
    Member,
    Members,
    Operation,
    Publish,
    SeekGroup,
)
from common.settings import ApplicationSettings
from storage_node.delivery.service import Delivery
from storage_node.dispatch import Dispatch
from storage_node.log.logs import Logs
from storage_node.queues import Queues
from tests.simulation.cluster import Cluster
from tests.simulation.loops import MachineClock, MachineLoop, World, new_machine

DRAIN_S = 15.0
SHELTERED_S = 30.0
MOVED = Failure(Code.MOVED, "node", "is going away")
UNREACHABLE = Failure(Code.UNAVAILABLE, "node", "none is there")


class SimulatedNode:
    """One machine with one storage node; it can be paused, and crashed and started again."""

    def __init__(
        self,
        name: str,
        cluster: Cluster,
        *,
        skew_s: float,
        applications: dict[str, ApplicationSettings],
    ) -> None:
        self.member = Member(member_id=name, address=f"sim://{name}", state="serving", started_ms=0, version="1")
        self.cluster = cluster
        self.world: World = cluster.world
        self.clock = MachineClock(self.world, skew_s=skew_s)
        self.step_pauses = 0.0
        """Share of steps before which it is paused."""
        self.crashed: list[MachineLoop] = []
        self.sheltered = False
        """No harm comes to it just now."""
        self._applications = applications
        self.up = False
        self.start()

    def start(self) -> None:
        self.loop = new_machine(self.world)
        self.loop.before_step = self._maybe_pause
        rng = random.Random(self.cluster.rng.random())
        store = self.cluster.handle(self.loop, self.clock)
        queues = Queues(store, clock=self.clock, rng=rng, applications=self._applications)
        logs = Logs(store, queues, clock=self.clock, rng=rng, host_clocks=store)  # type: ignore[arg-type]
        delivery = Delivery(store, queues, logs, clock=self.clock, rng=rng)
        self.delivery = delivery
        self.dispatch = Dispatch(store, queues, logs, delivery, members=_nobody, clock=self.clock)
        self.logs = logs
        self._measure = self.loop.spawn(logs._clock_check.run())
        self._under_way: set[asyncio.Task[None]] = set()
        self.up = True
        self.draining = False

    def _maybe_pause(self) -> None:
        if self.step_pauses and self.cluster.rng.random() < self.step_pauses:
            self.pause(self.cluster.rng.choice((0.3, 3.0, 12.0)) * self.cluster.rng.random())

    def pause(self, for_s: float) -> None:
        if self.sheltered:
            return
        self.loop.paused_until_s = max(self.loop.paused_until_s, self.world.now_s + for_s)

    def crash(self) -> None:
        self.up = False
        self.loop.crash()
        self.crashed.append(self.loop)

    def drain(self, then: Callable[[], None]) -> None:
        """End in order: new operations go elsewhere, those under way are finished, leases are written."""
        self.draining = True
        self.loop.spawn(self._drain(then))

    async def _drain(self, then: Callable[[], None]) -> None:
        self.logs.drain()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=DRAIN_S)
        await self.delivery.close()
        await self.logs.close()
        then()

    def take(self, operation: Operation, deadline_s: float, reply: Callable[[object], None]) -> None:
        """Begin a request that arrived; ``reply`` is called on this machine's time."""
        if self.up and self.draining:
            reply(MOVED)
        elif self.up:
            task = self.loop.spawn(self._answer(operation, deadline_s, reply))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _answer(self, operation: Operation, deadline_s: float, reply: Callable[[object], None]) -> None:
        try:
            reply(await self.dispatch(operation, RequestContext(deadline_s=deadline_s)))
        except FailureError as error:
            reply(error.failure)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # a fault of the service: the run fails, whatever it was
            self.world.errors.append(repr(error))
            reply(Failure(Code.INTERNAL, "node", repr(error)))


async def _nobody() -> Members:
    return Members(members=())


class Network:
    """Between clients and nodes: requests and replies are lost, late or repeated."""

    def __init__(self, cluster: Cluster, nodes: Sequence[SimulatedNode]) -> None:
        self.nodes = {node.member.address: node for node in nodes}
        self.world = cluster.world
        self.rng = cluster.rng
        self.loop = new_machine(cluster.world)
        self.hostility = 0.0

    def members(self) -> list[Member]:
        """Return what a front end believes; two of them may believe different things."""
        members = [node.member for node in self.nodes.values() if not node.draining] or self._all()
        if self.hostility and self.rng.random() < 0.4:
            self.rng.shuffle(members)
            return members[:1] if self.rng.random() < 0.5 else members
        return members

    def _all(self) -> list[Member]:
        return [node.member for node in self.nodes.values()]

    async def call(self, operation: Operation, *, fail_over: bool = False, wait_ms: int = 0) -> Any:
        """Carry an operation to its reply by the front end's own rules.

        Raises:
            FailureError: as the front end would.
        """
        budget_ms = PUBLISH_DEADLINE_MS if isinstance(operation, Publish) else REQUEST_DEADLINE_MS
        now_s = self.loop.time
        call = call_of(operation, fail_over=fail_over, wait_ms=wait_ms, now_s=now_s(), budget_ms=budget_ms)
        journey = route(call, members=self.members, now_s=now_s)
        outcome: Any = None
        while True:
            try:
                action = journey.send(outcome)
            except StopIteration as end:
                return end.value
            match action:
                case Send(member, until_s):
                    outcome = await self._send(self.nodes[member.address], operation, until_s, call.deadline_s)
                case Pause(until_s):
                    await asyncio.sleep(max(until_s - now_s(), 0.001))
                    outcome = None

    async def call_sheltered(self, operation: Operation) -> Any:
        """Have an operation done by a node that is left in peace meanwhile: no copy of it comes late.

        Raises:
            FailureError: as the node would.
        """
        ready = [node for node in self.nodes.values() if node.up and not node.draining]
        if not ready:
            raise FailureError(UNREACHABLE)
        node = self.rng.choice(ready)
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        node.sheltered, node.loop.paused_until_s = True, 0.0

        def settle(reply: object) -> None:
            self.loop.call_soon(future.set_result, reply)

        try:
            node.take(operation, self.loop.time() + SHELTERED_S, settle)
            reply = await future
        finally:
            node.sheltered = False
        if isinstance(reply, Failure):
            raise FailureError(reply)
        return reply

    async def _send(self, node: SimulatedNode, operation: Operation, until_s: float, deadline_s: float) -> object:
        if not node.up:
            return Lost.NOT_SENT
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        def settle(result: object) -> None:
            if not future.done():
                future.set_result(result)

        def reply(result: object) -> None:
            if self.rng.random() >= self.hostility / 2:
                late_s = self.rng.uniform(0, 3) if self.rng.random() < self.hostility / 2 else 0
                self.loop.call_later(self.rng.expovariate(200) + late_s, settle, result)

        once = isinstance(operation, Publish | SeekGroup) or (
            isinstance(operation, Claim) and operation.claim_id is None
        )
        repeated = not once and self.rng.random() < self.hostility / 3
        for _ in range(2 if repeated else 1):
            drawn = self.rng.random()
            if drawn < self.hostility / 2:
                continue
            late_s = self.rng.uniform(0, 10) if drawn < self.hostility else 0
            budget_s = deadline_s - self.loop.time()
            self.loop.call_later(self.rng.expovariate(200) + late_s, self._arrive, node, operation, budget_s, reply)
        self.loop.call_at(until_s, settle, Lost.TIMED_OUT)
        return await future

    def _arrive(
        self, node: SimulatedNode, operation: Operation, budget_s: float, reply: Callable[[object], None]
    ) -> None:
        node.take(operation, self.loop.time() + budget_s, reply)
