"""A front end over several storage nodes on one Cassandra, each node started, killed and frozen by itself."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from api.routing import rank
from common.protocol.operations import Member
from tests.support.deployment import Deployment, Process
from tests.support.ports import free_ports

FRONT_END_WORKERS: Final = 2


class SeveralNodes(Deployment):
    """One front end that knows node 0 by its configuration, and every other by the register alone."""

    def __init__(
        self,
        directory: Path,
        *,
        nodes: int,
        store: str,
        more: str = "",
        programs: Mapping[int, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        """``store`` holds the lines of ``[store]``, ``programs`` what to run in place of some nodes."""
        super().__init__(directory, workers=FRONT_END_WORKERS, store=store, more=more)
        file = directory / "queuey.toml"
        self.first_port = free_ports(nodes)[0]
        file.write_text(re.sub(r"tcp://127\.0\.0\.1:\d+", f"tcp://127.0.0.1:{self.first_port}", file.read_text()))
        usual = (sys.executable, "-m", "storage_node")
        self.nodes = tuple(
            Process(f"node{number}", [*programs.get(number, usual), "--process", str(number)], directory)
            for number in range(nodes)
        )
        self.node = self.nodes[0]

    def stop(self) -> None:
        """End all processes, the front end first."""
        self.front.stop()
        for node in self.nodes:
            node.stop()

    def logs(self) -> str:
        """Return the ends of all logs."""
        return "\n".join(f"--- {process.name}\n{process.log()}" for process in (*self.nodes, self.front))

    def endpoint(self, number: int) -> str:
        """Return where a node listens."""
        return f"tcp://127.0.0.1:{self.first_port + number}"

    def best(self, application: str, queue: str, among: tuple[int, ...]) -> int:
        """Return which of some nodes a front end chooses for a queue."""
        members = [_member(self.endpoint(number)) for number in among]
        chosen = rank((application, queue), members)[0].address
        return among[[member.address for member in members].index(chosen)]

    def new_queue(self, application: str, number: int, among: tuple[int, ...]) -> str:
        """Make a queue for which a front end chooses this node among those, and return its name."""
        while True:
            name = f"at-{number}-{secrets.token_hex(6)}"
            if self.best(application, name, among) == number:
                break
        reply = self.api(application).post("", data={"queue_name": name})
        assert reply.status_code == 201, reply.text
        return name

    def served(self, number: int, queue: str) -> int:
        """Return how many operations on a queue a node has ended since it was made."""
        return self.text(number).count(f'"queue":"{queue}"')

    def text(self, number: int) -> str:
        """Return the whole log of a node."""
        file = self.directory / "run" / f"node{number}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def starts(self, number: int) -> int:
        """Return how often a node has said that it is ready."""
        return self.text(number).count('"event": "node_ready"')


def _member(address: str) -> Member:
    return Member(member_id=address, address=address, state="serving", started_ms=0, version="")
