"""What the node's server does with single frames: refuse, count, answer; a plain DEALER plays the front end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import msgspec
import pytest
import zmq
import zmq.asyncio

from common.protocol.codec import MalformedFrameError, decode_answer, encode_request, type_answer
from common.protocol.envelope import NO_REQUEST, Request, RequestContext
from common.protocol.failures import Code, Failure
from common.protocol.operations import Cancel, Done, ListMembers, Members, Operation, Ping
from storage_node.server import NodeServer
from tests.support.link import waiting_claim

Handle = Callable[[Operation, RequestContext], Awaitable[msgspec.Struct]]


class Front:
    """A front end of bare frames."""

    def __init__(self, socket: zmq.asyncio.Socket, server: NodeServer) -> None:
        self.socket = socket
        self.server = server

    async def send(
        self, operation: Operation, request_id: int, *, sent_ms: int = 1_000, budget_ms: int = 5_000
    ) -> None:
        request = Request(request_id=request_id, operation=operation, sent_ms=sent_ms, budget_ms=budget_ms)
        await self.socket.send(encode_request(request))

    async def answer(self, reply: type[msgspec.Struct] = Done) -> tuple[int, msgspec.Struct]:
        frame = await asyncio.wait_for(self.socket.recv(), 5)
        answer = decode_answer(frame)
        return answer.request_id, type_answer(answer, reply)

    async def code(self) -> tuple[int, Code]:
        request_id, failure = await self.answer()
        assert isinstance(failure, Failure)
        return request_id, failure.code


async def done(_: Operation, __: RequestContext) -> msgspec.Struct:
    return Done()


@asynccontextmanager
async def fronted(handle: Handle = done, **options: Any) -> AsyncIterator[Front]:
    server = NodeServer("tcp://127.0.0.1:*", handle, **options)
    endpoint = server.start()
    context = zmq.asyncio.Context()
    socket = context.socket(zmq.DEALER)
    socket.connect(endpoint)
    try:
        yield Front(socket, server)
    finally:
        socket.close(linger=0)
        context.term()
        server.close()


async def until(condition: Callable[[], object]) -> None:
    """Return when the condition holds; it must within five seconds."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen in time")


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))


def test_a_front_end_of_another_version_is_answered() -> None:
    """A readable request id is enough for an answer: nobody hangs because versions differ."""

    async def test() -> None:
        async with fronted() as front:
            for request_id, items in ((7, [2, 7]), (8, [1, 8, "drop_all", 1, 2, "", "", []]), (9, [1, 9])):
                await front.socket.send(msgpack.packb(items))
                assert await front.code() == (request_id, Code.INVALID_REQUEST)
            assert front.server.counters.malformed == 3

    run(test)


def test_a_request_that_waited_too_long_is_refused() -> None:
    """Two requests, the second of which was sent long before it arrived by its own clock."""

    async def test() -> None:
        async with fronted() as front:
            await front.send(Ping(), 1, sent_ms=100_000)
            assert await front.answer() == (1, Done())
            await front.send(Ping(), 2, sent_ms=94_000)
            assert await front.code() == (2, Code.UNAVAILABLE)
            assert front.server.counters.stale == 1

    run(test)


def test_the_deadline_reaches_the_handler() -> None:
    """In monotonic seconds of the node's clock, less what the request waited on its way."""

    async def test() -> None:
        left: list[float] = []

        async def note(_: Operation, context: RequestContext) -> msgspec.Struct:
            left.append(context.deadline_s - asyncio.get_running_loop().time())
            return Done()

        async with fronted(note) as front:
            await front.send(Ping(), 1, sent_ms=100_000)
            await front.answer()
            await front.send(Ping(), 2, sent_ms=98_000)
            await front.answer()
        assert left[0] == pytest.approx(5, abs=0.5)
        assert left[1] == pytest.approx(3, abs=0.5)

    run(test)


def test_a_future_and_a_refusal_before_the_first_await_are_answers_too() -> None:
    """A handler need not be a coroutine function."""

    async def test() -> None:
        def ready(operation: Operation, _: RequestContext) -> Awaitable[msgspec.Struct]:
            if isinstance(operation, ListMembers):
                raise ZeroDivisionError
            future: asyncio.Future[msgspec.Struct] = asyncio.get_running_loop().create_future()
            future.set_result(Done())
            return future

        async with fronted(ready) as front:
            await front.send(Ping(), 1)
            assert await front.answer() == (1, Done())
            await front.send(ListMembers(), 2)
            assert await front.code() == (2, Code.INTERNAL)
            assert front.server.in_flight == 0

    run(test)


def test_a_request_id_in_use_is_not_taken_twice() -> None:
    """Otherwise one answer would be for two questions."""

    async def test() -> None:
        release = asyncio.Event()

        async def hold(_: Operation, __: RequestContext) -> msgspec.Struct:
            await release.wait()
            return Done()

        async with fronted(hold) as front:
            await front.send(Ping(), 1)
            await front.send(Ping(), 1)
            await until(lambda: front.server.counters.malformed)
            release.set()
            assert await front.answer() == (1, Done())

    run(test)


def test_more_waiting_requests_than_the_bound_are_refused() -> None:
    """And a cancelled one makes room at once; only its own connection can cancel it."""

    async def test() -> None:
        async def wait(_: Operation, __: RequestContext) -> msgspec.Struct:
            await asyncio.sleep(60)
            return Done()

        async with fronted(wait, waiting_max=2) as front:
            for request_id in (1, 2, 3):
                await front.send(waiting_claim(60_000), request_id)
            assert await front.code() == (3, Code.OVERLOADED)
            await front.send(Cancel(request_id=1), 4)
            await front.send(Cancel(request_id=99), 5)
            await until(lambda: front.server.waiting == 1)
            await front.send(waiting_claim(60_000), 6)
            await until(lambda: front.server.waiting == 2)

    run(test)


def test_a_burst_is_read_to_its_end() -> None:
    """The descriptor signals once for many frames: none is left behind, however bursts and answers interleave."""

    async def test() -> None:
        async with fronted() as front:
            for _ in range(5):
                for request_id in range(1, 1_001):
                    await front.send(Ping(), request_id)
                got = {(await front.answer())[0] for _ in range(1_000)}
                assert got == set(range(1, 1_001))

    run(test)


def test_a_draining_node_says_goodbye_and_moves_what_comes() -> None:
    """Its peers are told without being asked; what is under way is finished; members are still named."""

    async def test() -> None:
        release = asyncio.Event()

        async def hold(operation: Operation, _: RequestContext) -> msgspec.Struct:
            if isinstance(operation, ListMembers):
                return Members(members=())
            await release.wait()
            return Done()

        async with fronted(hold) as front:
            await front.send(Ping(), 1)
            await until(lambda: front.server.in_flight)
            drained = asyncio.create_task(front.server.drain())
            assert await front.code() == (NO_REQUEST, Code.MOVED)
            await front.send(Ping(), 2)
            assert await front.code() == (2, Code.MOVED)
            await front.send(ListMembers(), 3)
            assert await front.answer(Members) == (3, Members(members=()))
            release.set()
            assert await front.answer() == (1, Done())
            await drained

    run(test)


def test_what_does_not_end_is_cut_off_when_the_drain_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change has an unknown outcome then, a read may be asked elsewhere."""

    async def test() -> None:
        monkeypatch.setattr("storage_node.server.DRAIN_MS_MAX", 100)

        async def hold(_: Operation, __: RequestContext) -> msgspec.Struct:
            await asyncio.sleep(60)
            return Done()

        async with fronted(hold) as front:
            await front.send(Ping(), 1)
            await front.send(waiting_claim(60_000), 2)
            await until(lambda: front.server.in_flight and front.server.waiting)
            await front.server.drain()
            assert await front.code() == (NO_REQUEST, Code.MOVED)
            assert {await front.code(), await front.code()} == {(1, Code.MOVED), (2, Code.OUTCOME_UNKNOWN)}

    run(test)


def test_an_endpoint_in_use_is_an_os_error() -> None:
    """The process can say so and end."""

    async def test() -> None:
        async with fronted() as front:
            endpoint = front.socket.getsockopt(zmq.LAST_ENDPOINT)
            assert isinstance(endpoint, bytes)
            second = NodeServer(endpoint.rstrip(b"\0").decode(), done)
            with pytest.raises(OSError, match="in use"):
                second.start()
            second.close()

    run(test)


def test_a_reply_that_no_frame_can_hold_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client learns that it failed."""

    async def test() -> None:
        async def huge(_: Operation, __: RequestContext) -> msgspec.Struct:
            return Failure(Code.NOT_FOUND, "x", "y" * 1_000)

        async with fronted(huge) as front:
            monkeypatch.setattr("common.protocol.codec.FRAME_BYTES_MAX", 500)
            await front.send(Ping(), 1)
            assert await front.code() == (1, Code.INTERNAL)

    run(test)


def test_the_front_of_these_tests_refuses_foreign_frames() -> None:
    """The promise of the codec holds at this end as well."""
    with pytest.raises(MalformedFrameError):
        decode_answer(b"\x93\x01\x02\x03")
