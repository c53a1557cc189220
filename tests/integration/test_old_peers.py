"""Yesterday's bytes on today's link: a front end or a node of an earlier build beside one of this build."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgpack
import msgspec
import pytest
import zmq

from api.node_client import NodeClient
from common.protocol.codec import decode_answer, type_answer
from common.protocol.failures import Code, Failure, FailureError
from common.protocol.operations import OPERATIONS, ListMembers, Member, Members
from tests.support.deployment import Deployment
from tests.support.protocol_samples import OPERATION_SAMPLES, REPLY_SAMPLES
from tests.support.service import ROOT

GOLDEN: Final = ROOT / "tests/golden/protocol/v1"
SILENT: Final = {"cancel", "end_wait"}
"""Operations that are never answered."""
ANSWER_MS_MAX: Final = 10_000


def golden(kind: str, name: str) -> list[object]:
    """Return a pinned frame's elements."""
    frame = bytes.fromhex((GOLDEN / kind / f"{name}.hex").read_text())
    items = msgpack.unpackb(frame, strict_map_key=False)
    assert isinstance(items, list)
    return items


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    deployment = Deployment(tmp_path_factory.mktemp("node"))
    with deployment:
        (line,) = (
            line for line in (deployment.directory / "queuey.toml").read_text().splitlines() if "tcp://" in line
        )
        yield line.partition('"')[2].rstrip('"')


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - SILENT))
def test_an_earlier_front_end_is_understood(node: str, name: str) -> None:
    """Its pinned bytes, sent to a real node, are answered by a reply of the operation or by a reasoned refusal."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as front:
        front.setsockopt(zmq.LINGER, 0)
        front.connect(node)
        front.send(bytes.fromhex((GOLDEN / "requests" / f"{name}.hex").read_text()))
        assert front.poll(ANSWER_MS_MAX), name
        answer = decode_answer(front.recv())
    assert answer.request_id == 7
    reply = type_answer(answer, OPERATIONS[name].Reply)
    assert not isinstance(reply, Failure) or reply.code not in {Code.INTERNAL, Code.INVALID_REQUEST}, reply


class EarlierNode(threading.Thread):
    """A node that takes in what a front end of today sends, and answers with pinned bytes."""

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.asked: list[list[object]] = []
        self.answer_by = "done"
        self._ending = threading.Event()

    def run(self) -> None:
        """Answer until ``end``."""
        with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
            socket.setsockopt(zmq.LINGER, 0)
            socket.bind(self.endpoint)
            while not self._ending.is_set():
                if socket.poll(50):
                    identity, frame = socket.recv_multipart()
                    socket.send_multipart((identity, self._answer(msgpack.unpackb(frame, strict_map_key=False))))

    def end(self) -> None:
        """Stop answering."""
        self._ending.set()
        self.join()

    def _answer(self, items: list[object]) -> bytes:
        if items[2] == "list_members":
            member = Member(member_id="m", address=self.endpoint, state="serving", started_ms=0, version="0")
            result = msgspec.to_builtins(Members(members=(member,)))
            return bytes(msgpack.packb([items[0], items[1], True, result]))
        self.asked.append(items)
        answer = golden("answers", self.answer_by)
        answer[1] = items[1]
        return bytes(msgpack.packb(answer))


@pytest.fixture
def earlier(tmp_path: Path) -> Iterator[EarlierNode]:
    made = EarlierNode(f"ipc://{tmp_path}/earlier")
    made.start()
    yield made
    made.end()


def test_an_earlier_node_is_understood(earlier: EarlierNode) -> None:
    """What today's front end sends has the pinned form, and pinned answers are read as what they were."""
    client = NodeClient([earlier.endpoint])
    replies = {type(sample): name for name, sample in REPLY_SAMPLES.items()}
    try:
        for name in sorted(OPERATIONS.keys() - SILENT - {"list_members"}):
            earlier.answer_by = replies[OPERATIONS[name].Reply]
            assert client.call(OPERATION_SAMPLES[name]) == REPLY_SAMPLES[earlier.answer_by]
            pinned, sent = golden("requests", name), earlier.asked[-1]
            assert (sent[0], sent[2], len(sent)) == (pinned[0], pinned[2], len(pinned))
            if "wait" not in str(OPERATIONS[name].__struct_fields__):
                assert sent[7] == pinned[7]
        earlier.answer_by = next(name for name, sample in REPLY_SAMPLES.items() if isinstance(sample, Failure))
        with pytest.raises(FailureError) as refused:
            client.call(OPERATION_SAMPLES["ack"])
        assert refused.value.failure == REPLY_SAMPLES[earlier.answer_by]
        assert isinstance(client.call(ListMembers()), Members)
    finally:
        client.close()


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_field_that_a_later_build_adds_is_passed_over(node: str, name: str) -> None:
    """Fields are only added at the end: a front end that is a version ahead does not trouble this node."""
    items = golden("requests", name)
    assert isinstance(items[7], list)
    items[7].append("of a later version")
    with zmq.Context() as context, context.socket(zmq.DEALER) as front:
        front.setsockopt(zmq.LINGER, 0)
        front.connect(node)
        front.send(msgpack.packb(items))
        if name in SILENT:
            assert not front.poll(100)
            return
        assert front.poll(ANSWER_MS_MAX), name
        reply = type_answer(decode_answer(front.recv()), OPERATIONS[name].Reply)
    assert not isinstance(reply, Failure) or reply.code is not Code.INVALID_REQUEST, reply
