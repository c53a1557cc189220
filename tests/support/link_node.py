"""A storage node with toy handlers behind the real server, for tests of the link; run as a process of its own.

``python -m tests.support.link_node ENDPOINT MEMBERS_FILE [IN_FLIGHT_MAX]``; the file holds one
endpoint per line, with a key where the link is encrypted.  ``QUEUEY_TEST_CURVE`` holds a secret and an allowed key.
The queue's name says what an operation meets: ``slow-SECONDS``, ``crash``, ``unencodable``, ``stats`` or anything.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import msgspec

from common.guarantees import Consistency, Guarantee, LogKind, Ordering, QueueType
from common.limits import IN_FLIGHT_PER_NODE_MAX
from common.link_keys import parse_seed
from common.logs import configure_logs
from common.protocol.envelope import RequestContext
from common.protocol.failures import Code, refuse
from common.protocol.operations import (
    Claim,
    Claims,
    Done,
    ListMembers,
    Member,
    Members,
    MessagesRead,
    Operation,
    Ping,
    QueueInfo,
    QueueOperation,
    Read,
)
from storage_node.server import NodeServer


def queue_info(queue: str, note: str) -> QueueInfo:
    """Describe a queue that does not exist; ``note`` travels in ``principles``."""
    return QueueInfo(
        application="notes",
        queue=queue,
        partitions=1,
        type=QueueType.USER,
        consistency=Consistency.STRONG,
        principles=note,
        created_ticks=0,
        guarantee=Guarantee.AT_LEAST_ONCE,
        log=LogKind.FENCED,
        ttl_s=1,
        delay_ms=0,
        lease_ms=1_000,
        max_deliveries=0,
        dead_letter_queue="",
        ordering=Ordering.NONE,
        max_in_flight=1,
    )


class ToyNode:
    """Handlers that sleep, crash, wait or tell what was seen."""

    def __init__(self, members_file: Path) -> None:
        self._members_file = members_file
        self._done: dict[str, int] = {}
        self._waiting = 0
        self._cancelled = 0
        self.ended = asyncio.Event()
        self.server: NodeServer | None = None

    async def handle(self, operation: Operation, context: RequestContext) -> msgspec.Struct:
        if isinstance(operation, Ping):
            return Done()
        if isinstance(operation, ListMembers):
            return self._members()
        if isinstance(operation, Read | Claim) and operation.wait_ms:
            return await self._wait(operation)
        assert isinstance(operation, QueueOperation)
        return await self._queue_operation(operation, context)

    async def _queue_operation(self, operation: QueueOperation, context: RequestContext) -> msgspec.Struct:
        queue = operation.queue
        if queue.startswith("slow-"):
            await asyncio.sleep(float(queue.removeprefix("slow-")))
        if queue == "crash":
            raise ZeroDivisionError("a defect")
        if queue == "unencodable":
            return queue_info(queue, "\ud800")
        if queue == "refused":
            raise refuse(Code.QUEUE_NOT_FOUND, "queue_name", context.log_id)
        self._done[queue] = self._done.get(queue, 0) + 1
        return queue_info(queue, json.dumps(self._stats()))

    def _stats(self) -> dict[str, object]:
        assert self.server is not None
        return {
            "pid": os.getpid(),
            "done": self._done,
            "waiting": self._waiting,
            "cancelled": self._cancelled,
            "counters": vars(self.server.counters),
        }

    async def _wait(self, operation: Read | Claim) -> msgspec.Struct:
        self._waiting += 1
        try:
            await asyncio.wait_for(self.ended.wait(), operation.wait_ms / 1000)
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            self._cancelled += 1
            raise
        finally:
            self._waiting -= 1
        if isinstance(operation, Claim):
            return Claims(claims=(), acked=(), guarantee=Guarantee.AT_LEAST_ONCE)
        return MessagesRead(messages=(), next=b"", complete_until={}, guarantee=Guarantee.AT_LEAST_ONCE)

    def _members(self) -> Members:
        seeds = map(parse_seed, self._members_file.read_text().splitlines())
        return Members(
            members=tuple(
                Member(
                    member_id=address,
                    address=address,
                    state="serving",
                    started_ms=1,
                    version="1",
                    curve_key=curve_key,
                )
                for address, curve_key in seeds
            )
        )


async def serve(endpoint: str, members_file: Path, in_flight_max: int) -> None:
    """Answer until SIGTERM, then drain."""
    node = ToyNode(members_file)
    secret, *allowed = os.environ.get("QUEUEY_TEST_CURVE", "").split() or [""]
    server = node.server = NodeServer(
        endpoint,
        node.handle,
        end_waits=node.ended.set,
        in_flight_max=in_flight_max,
        curve_secret=secret,
        allowed_keys=allowed,
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server.start()
    print("ready", flush=True)
    await stop.wait()
    await server.drain()
    server.close()


if __name__ == "__main__":
    configure_logs("link_node")
    maximum = int(sys.argv[3]) if len(sys.argv) > 3 else IN_FLIGHT_PER_NODE_MAX
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2]), maximum))
