"""A development cluster as a whole: nodes started one after another, stopped together."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.cassandra import jars
from deploy.cassandra.certificates import ensure_certificate
from deploy.cassandra.layout import Layout
from deploy.cassandra.node import Node

_START_PATIENCE_SECONDS = 240.0
_STOP_PATIENCE_SECONDS = 60.0


class Cluster:
    """The nodes of one layout. Safe to start when some of them, or all, already run."""

    def __init__(self, layout: Layout, *, progress: jars.Progress) -> None:
        self.layout = layout
        self.nodes = tuple(Node(layout, number) for number in range(1, layout.nodes + 1))
        self._progress = progress

    def start(self) -> None:
        """Return once every node answers CQL and reaches all others; on failure nothing is left running."""
        java = jars.find_java()
        jars.assemble(self.layout.lib_dir, progress=self._progress)
        self.layout.check_identity()
        if not any(node.pid() for node in self.nodes):
            self.layout.check_addresses()
        new_cluster = self.layout.is_new()
        self.layout.write_identity()
        ensure_certificate(self.layout, java=java)
        try:
            for group in self._starting_order():
                self._start_nodes(group, java=java, new_cluster=new_cluster)
            for node in self.nodes:
                node.wait_until_ready(patience_seconds=_START_PATIENCE_SECONDS)
        except BaseException:
            self.stop()
            raise

    def restart_node(self, number: int) -> None:
        """Start node `number` again after it was stopped or killed, and wait until it reaches the others."""
        node = self.nodes[number - 1]
        node.start(java=jars.find_java(), new_cluster=False)
        node.wait_until_ready(patience_seconds=_START_PATIENCE_SECONDS)

    def stop(self) -> None:
        """End every node: SIGTERM, which makes it drain, and SIGKILL only to one that doesn't end by it."""
        running = [node for node in self.nodes if node.pid() is not None]
        for node in running:
            node.send(signal.SIGCONT)
            node.send(signal.SIGTERM)
        for node in running:
            if not node.wait_until_gone(patience_seconds=_STOP_PATIENCE_SECONDS):
                self._progress(f"node {node.number} did not stop in {_STOP_PATIENCE_SECONDS:.0f} s: killing it")
                node.send(signal.SIGKILL)
                node.wait_until_gone(patience_seconds=_STOP_PATIENCE_SECONDS)

    def ended(self) -> list[Node]:
        """The nodes whose process is gone."""
        return [node for node in self.nodes if node.pid() is None]

    def _starting_order(self) -> Iterator[list[Node]]:
        """Nodes that were in the ring before wait for each other, so they start together; new ones join singly."""
        members = [node for node in self.nodes if node.has_data]
        if members:
            yield members
        for node in self.nodes:
            if node not in members:
                yield [node]

    def _start_nodes(self, nodes: list[Node], *, java: Path, new_cluster: bool) -> None:
        begun = time.monotonic()
        for node in nodes:
            if node.pid() is None:
                self._progress(f"starting node {node.number} of {self.layout.nodes} on {node.address} ...")
                node.start(java=java, new_cluster=new_cluster)
        for node in nodes:
            node.wait_until_answering(patience_seconds=_START_PATIENCE_SECONDS)
            self._progress(f"node {node.number} answers after {time.monotonic() - begun:.0f} s")
