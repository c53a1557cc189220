"""What waits when a front end is told to end, and what a node still does when nobody is left to answer."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from pathlib import Path

import msgspec
import requests
import zmq

from api.node_client import NodeClient
from common.limits import DRAIN_MS_MAX
from common.protocol.codec import encode_request
from common.protocol.envelope import Request, RequestContext
from common.protocol.operations import ListMembers, Member, Members, Operation, Ping
from common.settings import load_settings
from storage_node.server import FAREWELL_S, QUIET_S_MAX, UNHEARD_S, NodeServer
from tests.support.deployment import Deployment, deployed
from tests.support.service import wait_until


def test_long_polls_end_with_their_front_end(tmp_path: Path) -> None:
    """A read and a claim that would wait for a minute are answered with what there is: nothing, but no error."""
    with deployed(tmp_path) as deployment:
        assert deployment.api().post("", data={"queue_name": "quiet"}).status_code == 201
        answers: list[requests.Response] = []
        calls = (
            lambda: deployment.api().get("quiet?wait=60", timeout=70),
            lambda: deployment.api().post("quiet/claims", json={"wait": 60}, timeout=70),
        )
        polls = [threading.Thread(target=lambda call=call: answers.append(call())) for call in calls]
        for poll in polls:
            poll.start()
        wait_until(lambda: members(deployment)[0].waiting == 2, within_s=20, what="two calls that wait")
        begun_s = time.monotonic()
        deployment.front.stop()
        assert time.monotonic() - begun_s < 8
        for poll in polls:
            poll.join(10)
        assert [answer.status_code for answer in answers] == [200, 200]
        assert {tuple(answer.json().get("messages", answer.json().get("claims"))) for answer in answers} == {()}


def members(deployment: Deployment) -> tuple[Member, ...]:
    """Return the storage nodes with their load."""
    with contextlib.closing(NodeClient(load_settings(deployment.directory / "queuey.toml").seeds)) as client:
        answer = client.call(ListMembers())
    assert isinstance(answer, Members)
    return answer.members


def test_a_node_does_not_finish_at_length_what_nobody_waits_for(tmp_path: Path) -> None:
    """Its only front end is gone: a drain does not last as long as one that still owes answers may."""
    assert asyncio.run(seconds_of_a_drain(f"ipc://{tmp_path}/node")) < min(DRAIN_MS_MAX / 1000, 8)


async def seconds_of_a_drain(endpoint: str) -> float:
    """Ask a server whose handler never ends, go away, and drain it."""
    begun = asyncio.Event()

    async def never(_operation: Operation, _context: RequestContext) -> msgspec.Struct:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    server = NodeServer(endpoint, never)
    server.start()
    context = zmq.Context()
    try:
        with context.socket(zmq.DEALER) as front:
            front.connect(endpoint)
            frame = encode_request(Request(request_id=1, operation=Ping(), sent_ms=1, budget_ms=60_000))
            front.send(frame)
            await asyncio.wait_for(begun.wait(), 5)
            front.setsockopt(zmq.LINGER, 0)
        begun_s = time.monotonic()
        await server.drain()
        return time.monotonic() - begun_s
    finally:
        server.close()
        context.term()


def test_all_that_a_stop_may_take_fits() -> None:
    """Front ends go first, each within its bound; then a node owes nothing to anybody."""
    graceful_s, supervisor_s, run_s = bounds()
    node_s = FAREWELL_S + UNHEARD_S + QUIET_S_MAX
    assert graceful_s < supervisor_s
    assert supervisor_s + node_s <= run_s


def bounds() -> tuple[float, float, float]:
    """Return the seconds for the workers, for gunicorn, and for everything."""
    from cli.run import STOP_S_MAX
    from common.limits import REQUEST_DEADLINE_MS
    from tests.support.service import ROOT

    (supervisor_s,) = (
        float(line.partition("=")[2])
        for line in (ROOT / "supervisord.conf").read_text().splitlines()
        if line.startswith("stopwaitsecs")
    )
    return REQUEST_DEADLINE_MS // 1000 + 2, supervisor_s, STOP_S_MAX
