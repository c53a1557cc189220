"""All is restarted, one after the other, while 500 requests a second go through the shipped nginx: none fails."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from api.node_client import NodeClient
from api.routing import RESTART_PATIENCE_S
from common.protocol.operations import ListMembers, Members
from common.settings import load_settings
from tests.support.cassandra_store import store_lines
from tests.support.deployment import SQLITE, Deployment, Process
from tests.support.mixed_load import MixedLoad
from tests.support.operations import nginx, second_front, start_front
from tests.support.service import wait_until
from tests.support.tools import skip_or_fail

SETTLED: Final = 200
"""Requests that are answered between two restarts."""


class Site:
    """nginx, two front ends, and up to three storage nodes."""

    def __init__(self, directory: Path, *, store: str = SQLITE) -> None:
        self.directory = directory
        self.restart_s = 0.0
        self.first = Deployment(directory / "first", store=store)
        self.second = second_front(self.first, directory / "second")
        self.more_nodes = [
            Process(f"node-{number}", [sys.executable, "-m", "storage_node", "--process", str(number)], place)
            for number, place in ((1, directory / "first"), (2, directory / "first"))
        ]

    @contextlib.contextmanager
    def loaded(self) -> Iterator[MixedLoad]:
        """Run everything under load; at the end no call may have failed."""
        with self.first:
            try:
                start_front(self.second)
                with nginx(self.directory / "nginx", (self.first.port, self.second.port)) as url:
                    load = MixedLoad(int(url.rpartition(":")[2]))
                    load.start()
                    try:
                        load.wait_for(SETTLED)
                        yield load
                        load.wait_for(SETTLED)
                    finally:
                        load.end()
                    if load.failed and self.restart_s > RESTART_PATIENCE_S - 1:
                        skip_or_fail(f"a node needs {self.restart_s:.0f} s to start here: calls do not wait so long")
                    assert not load.failed, (self.directory / "nginx/error.log").read_text()[-2_000:]
            finally:
                for process in (self.second.front, *self.more_nodes):
                    process.stop()

    def restart_front(self, front: Deployment) -> None:
        """Stop it as an operator does, and start it."""
        front.front.stop()
        start_front(front)

    def restart_node(self) -> None:
        """Drain the first storage node and start it again."""
        begun_s = time.monotonic()
        self.first.node.stop()
        self.first.node.start()
        self.first.wait_until_ready()
        self.restart_s = time.monotonic() - begun_s


def node_count(site: Site) -> int:
    """Return how many storage nodes the register shows."""
    with contextlib.closing(NodeClient(load_settings(site.first.directory / "queuey.toml").seeds)) as client:
        answer = client.call(ListMembers())
    assert isinstance(answer, Members)
    return len(answer.members)


def test_all_are_restarted_on_sqlite(tmp_path: Path) -> None:
    """Both front ends, their workers by HUP, and the only storage node, for which requests wait."""
    site = Site(tmp_path)
    with site.loaded() as load:
        for front in (site.first, site.second):
            site.restart_front(front)
            load.wait_for(SETTLED)
        os.kill(site.first.front.pid, signal.SIGHUP)
        load.wait_for(SETTLED)
        site.restart_node()
        load.wait_for(SETTLED)


@pytest.mark.cassandra
@pytest.mark.timeout(400)
def test_all_are_restarted_and_scaled_on_cassandra(tmp_path: Path) -> None:
    """1, 3, 1 storage nodes; the one that is left is then restarted, and the front ends are."""
    site = Site(tmp_path, store=store_lines(1, keyspace="rolling"))
    with site.loaded() as load:
        for node in site.more_nodes:
            node.start()
        wait_until(lambda: node_count(site) == 3, within_s=60, what="three nodes")
        load.wait_for(SETTLED)
        site.restart_node()
        for node in site.more_nodes:
            node.stop()
            load.wait_for(SETTLED)
        for front in (site.first, site.second):
            site.restart_front(front)
            load.wait_for(SETTLED)
