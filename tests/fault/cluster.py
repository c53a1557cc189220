"""The whole system on loopback, every part real and every link of it through a proxy of the test's own.

::

    clients - nginx - front1, front2 - (proxies) - node1 .. node4 - (proxies) - cassandra1 .. cassandra3
"""

from __future__ import annotations

import contextlib
import hashlib
import signal
import sys
import threading
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final

import requests

from deploy.cassandra.cluster import Cluster
from deploy.cassandra.jars import find_java
from deploy.cassandra.probe import answers
from tests.fault.proxies import Pair, Proxies
from tests.support.cassandra import dispose, make_cluster
from tests.support.deployment import Process, key_of
from tests.support.operations import nginx
from tests.support.ports import free_ports
from tests.support.service import wait_until

NODES: Final = 3
NODES_MAX: Final = 4
FRONTS: Final = 2
STORES: Final = 3
CLIENTS_FROM: Final = 100
"""Cassandra node 1 is reached through the proxy at ``<prefix>.101``."""
READY_S_MAX: Final = 180.0
HEALED_S_MAX: Final = 180.0
SUPERVISE_S: Final = 0.3
APPLICATIONS: Final = {"most": "at_most_once", "least": "at_least_once", "once": "exactly_once"}
"""Application -> guarantee."""

FAKETIME: Final = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
"""None where faketime is missing: no clock is moved then."""
SKEWED: Final = "node1"
"""The storage node whose clock can be moved."""


class Site:
    """Everything that runs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.proxies = Proxies()
        self.cassandra: Cluster = make_cluster(STORES, clients_from=CLIENTS_FROM)
        ports = free_ports(2 * NODES_MAX + FRONTS)
        self._node_ports = ports[:NODES_MAX]
        self._proxy_ports = ports[NODES_MAX : 2 * NODES_MAX]
        self._front_ports = (ports[-2], ports[-1])
        self.nodes = [self._node(number) for number in range(1, NODES_MAX + 1)]
        self.fronts = [self._front(number) for number in range(1, FRONTS + 1)]
        self.wanted_nodes = NODES
        self.kept_down: set[str] = set()
        """Names of processes that are not started again at present."""
        self.url = ""
        self._closing = threading.Event()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Site:
        """Start all and wait until it answers."""
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End all."""
        self._stack.close()

    def _start(self) -> None:
        self._stack.callback(self._dispose)
        self.cassandra.start()
        self.proxies.start()
        self._stack.callback(self.proxies.stop)
        self._listen()
        self._stack.callback(self._stop_all)
        self.start_process(self.nodes[0])
        wait_until(lambda: "node_ready" in self.nodes[0].log(100), within_s=READY_S_MAX, what="first node")
        for process in (*self.nodes[1:NODES], *self.fronts):
            self.start_process(process)
        self.url = self._stack.enter_context(nginx(self.directory / "nginx", self._front_ports))
        self.wait_until_whole(READY_S_MAX)

    def _listen(self) -> None:
        layout = self.cassandra.layout
        for number, (told, real) in enumerate(zip(layout.client_addresses, layout.addresses, strict=True), 1):
            self.proxies.listen((told, layout.cql_port), f"cassandra{number}", (real, layout.cql_port))
        for number, (told_port, port) in enumerate(zip(self._proxy_ports, self._node_ports, strict=True), 1):
            self.proxies.listen(("127.0.0.1", told_port), f"node{number}", ("127.0.0.1", port))

    def start_stores(self, numbers: Collection[int], *, within_s: float = HEALED_S_MAX) -> None:
        """Start Cassandra nodes and wait until they answer; one that gives up (it found no peer in time) again."""
        layout = self.cassandra.layout
        nodes = [self.cassandra.nodes[number - 1] for number in numbers]
        end_s = time.monotonic() + within_s
        while not all(answers(node.address, layout.cql_port) for node in nodes):
            assert time.monotonic() < end_s, f"Cassandra nodes {numbers} do not answer"
            for node in nodes:
                if node.pid() is None:
                    node.start(java=find_java(), new_cluster=False)
            time.sleep(0.5)

    def start_process(self, process: Process) -> None:
        """Start a node or a front end, known to the proxies by its name."""
        process.start()
        self.proxies.name_caller(process.pid, process.name)

    def supervise(self) -> None:
        """Begin to start again whatever ends, as supervisord does, unless it is kept down."""
        thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._stack.callback(thread.join)
        self._stack.callback(self._closing.set)
        thread.start()

    def _supervise(self) -> None:
        while not self._closing.wait(SUPERVISE_S):
            for process in self.processes:
                if not process.is_running() and process.name not in self.kept_down:
                    self.start_process(process)

    def wait_until_whole(self, within_s: float = HEALED_S_MAX) -> None:
        """Return once every front end reaches a node and the store, and no process is missing."""
        self.start_stores(range(1, STORES + 1), within_s=within_s)
        try:
            wait_until(self._is_whole, within_s=within_s, what="whole system")
        except AssertionError as error:
            logs = "\n".join(f"--- {process.name}\n{process.log()}" for process in self.processes)
            error.add_note(logs)
            raise

    @property
    def processes(self) -> list[Process]:
        """The nodes and front ends that should run."""
        return [*self.nodes[: self.wanted_nodes], *self.fronts]

    @property
    def pairs(self) -> list[Pair]:
        """All links."""
        nodes = [process.name for process in self.nodes]
        upper = [Pair(front.name, node) for front in self.fronts for node in nodes]
        return [*upper, *(Pair(node, f"cassandra{number}") for node in nodes for number in range(1, STORES + 1))]

    def process(self, name: str) -> Process:
        """Return a node or a front end by its name."""
        return next(process for process in (*self.nodes, *self.fronts) if process.name == name)

    def logged_bytes(self, process: Process) -> int:
        """Return how much a process has logged so far."""
        return self._log_of(process).stat().st_size

    def is_serving(self, process: Process, logged_bytes: int) -> bool:
        """Say whether a process that was started once more takes calls; ``logged_bytes`` is from before."""
        if process in self.nodes:
            with self._log_of(process).open("rb") as log:
                log.seek(logged_bytes)
                return b'"node_ready"' in log.read()
        return _answers(f"http://127.0.0.1:{self._front_ports[self.fronts.index(process)]}/__live__")

    def set_clock(self, seconds: float) -> None:
        """Move the clock of the node that is started for it."""
        self._clock_file.write_text(f"{seconds:+.3f}\n")

    def _is_whole(self) -> bool:
        is_running = all(process.is_running() for process in self.processes)
        return (
            is_running
            and all(_is_ready(f"http://127.0.0.1:{port}") for port in self._front_ports)
            and _is_ready(self.url)
        )

    def _log_of(self, process: Process) -> Path:
        return self.directory / process.name / "run" / f"{process.name}.log"

    @property
    def _clock_file(self) -> Path:
        return self.directory / "clock"

    def _node(self, number: int) -> Process:
        directory = self._configure(f"node{number}", number, front=1)
        command = [sys.executable, "-m", "storage_node"]
        if f"node{number}" == SKEWED and FAKETIME is not None:
            self.set_clock(0.0)
            command = ["env", *self._clock_settings(), sys.executable, "-m", "tests.fault.skewed_node"]
        return Process(f"node{number}", command, directory)

    def _front(self, number: int) -> Process:
        directory = self._configure(f"front{number}", 1, front=number)
        gunicorn = ["-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "api.wsgi:app"]
        return Process(f"front{number}", [sys.executable, *gunicorn], directory)

    def _clock_settings(self) -> list[str]:
        return [
            f"LD_PRELOAD={FAKETIME}",
            f"FAKETIME_TIMESTAMP_FILE={self._clock_file}",
            "FAKETIME_CACHE_DURATION=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "FAKETIME_FORCE_MONOTONIC_FIX=0",  # it breaks waits that are right
        ]

    def _configure(self, name: str, node: int, *, front: int) -> Path:
        directory = self.directory / name
        (directory / "run").mkdir(parents=True, exist_ok=True)
        layout = self.cassandra.layout
        hosts = ", ".join(f'"{address}"' for address in layout.client_addresses)
        seeds = ", ".join(f'"tcp://127.0.0.1:{port}"' for port in self._proxy_ports)
        applications = "".join(
            f'[applications.{application}]\nkey_sha256 = "{_digest(application)}"\nguarantee = "{guarantee}"\n'
            for application, guarantee in APPLICATIONS.items()
        )
        (directory / "queuey.toml").write_text(
            f'[api]\nbind = "127.0.0.1:{self._front_ports[front - 1]}"\nworkers = 1\nnodes = [{seeds}]\n'
            f'[storage_node]\nbind = "tcp://127.0.0.1:{self._node_ports[node - 1]}"\n'
            f'advertise = "tcp://127.0.0.1:{self._proxy_ports[node - 1]}"\n'
            f'[store]\nbackend = "cassandra"\nhosts = [{hosts}]\nkeyspace = "faults"\nreplication = {{ dc1 = 3 }}\n'
            f"{applications}"
        )
        return directory

    def _dispose(self) -> None:
        for node in self.cassandra.nodes:
            node.send(signal.SIGKILL)
        dispose(self.cassandra)

    def _stop_all(self) -> None:
        running = [process for process in (*self.fronts, *self.nodes) if process.is_running()]
        with ThreadPoolExecutor(len(running) or 1) as pool:
            list(pool.map(Process.stop, running))


def _digest(application: str) -> str:
    return hashlib.sha256(key_of(application).encode()).hexdigest()


def _is_ready(url: str) -> bool:
    return _answers(f"{url}/__ready__")


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False
