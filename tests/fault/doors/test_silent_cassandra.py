"""A Cassandra that takes everything and answers nothing."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.support.cassandra import shared_cluster
from tests.support.cassandra_store import store_lines
from tests.support.deployment import Deployment
from tests.support.service import wait_until

ANSWER_S_MAX = 12.0


@pytest.mark.cassandra
@pytest.mark.timeout(300)
def test_only_time_outs_are_told_as_such(tmp_path: Path) -> None:
    """Each call is refused in its time; what was acknowledged before is there when Cassandra answers again."""
    with Deployment(tmp_path, store=store_lines(1, keyspace="silent")) as deployment:
        api = deployment.api()
        assert api.post("", data={"queue_name": "q"}).status_code == 201
        sent = [api.post("q", data=f"{number}".encode()) for number in range(20)]
        assert {answer.status_code for answer in sent} == {201}
        calls: tuple[Callable[[], requests.Response], ...] = (
            lambda: api.post("q", data=b"unheard"),
            lambda: api.get("q"),
            lambda: api.post("q/claims", json={}),
            lambda: api.get("/__ready__"),
        )
        (server,) = shared_cluster(1).nodes
        server.send(signal.SIGSTOP)
        try:
            for call in calls:
                begun_s = time.monotonic()
                answer = call()
                assert time.monotonic() - begun_s < ANSWER_S_MAX
                assert answer.status_code == 503, answer.text
                assert answer.json()["code"] in {"store_unavailable", "outcome_unknown", "unavailable"}
        finally:
            server.send(signal.SIGCONT)
        wait_until(lambda: api.get("q").status_code == 200, within_s=60, what="a Cassandra that answers")
        wait_until(lambda: api.get("/__ready__").status_code == 200, within_s=60, what="a ready service")
        bodies = [message["body"] for message in api.get("q?limit=1000").json()["messages"]]
        assert set(map(str, range(20))) <= set(bodies)
        log = deployment.node.log(10_000)
        assert '"store_unavailable"' in log or '"outcome_unknown"' in log
