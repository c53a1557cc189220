"""Operations on one storage node of a test's own choice, past all routing."""

from __future__ import annotations

import itertools
import time
from types import TracebackType
from typing import TypeVar

import msgspec
import zmq

from common.protocol.codec import decode_answer, encode_request, type_answer
from common.protocol.envelope import Request
from common.protocol.failures import Failure, FailureError
from common.protocol.operations import Operation

Reply = TypeVar("Reply", bound=msgspec.Struct)


class DirectNode:
    """One connection of one thread; a call at a time."""

    def __init__(self, endpoint: str, *, patience_s: float = 15.0) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(endpoint)
        self._patience_s = patience_s
        self._numbers = itertools.count(1)

    def __enter__(self) -> DirectNode:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the socket."""
        self._socket.close()
        self._context.term()

    def call(self, operation: Operation, reply_type: type[Reply]) -> Reply:
        """Return the reply.

        Raises:
            FailureError: the node refused it.
            TimeoutError: it did not answer.
        """
        number = next(self._numbers)
        budget_ms = int(self._patience_s * 1000)
        now_ms = int(time.monotonic() * 1000)
        request = Request(request_id=number, operation=operation, sent_ms=now_ms, budget_ms=budget_ms)
        self._socket.send(encode_request(request))
        end_s = time.monotonic() + self._patience_s
        while (left_s := end_s - time.monotonic()) > 0 and self._socket.poll(int(left_s * 1000)):
            answer = decode_answer(self._socket.recv())
            if answer.request_id == number:
                reply = type_answer(answer, reply_type)
                if isinstance(reply, Failure):
                    raise FailureError(reply)
                return reply
        raise TimeoutError(f"no answer within {self._patience_s} s")
