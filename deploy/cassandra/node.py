"""One Cassandra process: started, watched, paused and stopped; also when another launcher started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from deploy.cassandra import probe
from deploy.cassandra.configuration import write_configuration
from deploy.cassandra.jvm import server_command
from deploy.cassandra.layout import Layout
from deploy.cassandra.problems import ClusterError

_POLL_SECONDS = 0.2
_LOG_LINES_SHOWN = 12


class Node:
    """Node `number` of a cluster; its process id is kept in its folder, so that any launcher finds it."""

    def __init__(self, layout: Layout, number: int) -> None:
        self.number = number
        self.address = layout.addresses[number - 1]
        self._layout = layout
        self._dir = layout.node_dir(number)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def log_file(self) -> Path:
        """What the server logs."""
        return self._dir / "system.log"

    @property
    def has_data(self) -> bool:
        """It was started before, so it starts again without joining the ring anew."""
        return (self._dir / "data").exists()

    @property
    def jmx_port(self) -> int:
        """Where the running node's administration interface listens, on 127.0.0.1."""
        return int((self._dir / "jmx.port").read_text())

    def pid(self) -> int | None:
        """The running process, or None; a number left by a process that is gone, or is another's now, is ignored."""
        if self._child is not None:
            return self._child.pid if self._child.poll() is None else None
        try:
            pid = int(self._pid_file.read_text())
        except (OSError, ValueError):
            return None
        return pid if f"-Dcassandra.storagedir={self._dir}" in _command_of(pid) else None

    def start(self, *, java: Path, new_cluster: bool) -> None:
        """Start the process; it serves nobody before `wait_until_answering` returns."""
        if self.pid() is not None:
            raise ClusterError(f"node {self.number} already runs")
        write_configuration(self._layout, number=self.number, new_cluster=new_cluster)
        jmx_port = _free_port()
        command = server_command(self._layout, java=java, number=self.number, jmx_port=jmx_port)
        with (self._dir / "console.log").open("wb") as console:
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, start_new_session=True
            )
        self._pid_file.write_text(f"{self._child.pid}\n")
        (self._dir / "jmx.port").write_text(f"{jmx_port}\n")

    def wait_until_answering(self, *, patience_seconds: float) -> None:
        """Return once CQL answers; raise with the process's last words if it ends or takes longer."""
        authority = self._layout.authority_file
        self._wait(lambda: probe.answers(self.address, self._layout.cql_port, authority=authority), patience_seconds)

    def wait_until_ready(self, *, patience_seconds: float) -> None:
        """Return once the node also reaches all others of its cluster; raise as `wait_until_answering` does."""
        nodes, authority = self._layout.nodes, self._layout.authority_file
        self._wait(
            lambda: probe.sees_all(self.address, self._layout.cql_port, nodes=nodes, authority=authority),
            patience_seconds,
        )

    def _wait(self, condition: Callable[[], bool], patience_seconds: float) -> None:
        deadline = time.monotonic() + patience_seconds
        while not condition():
            if self.pid() is None:
                raise ClusterError(
                    f"node {self.number} ended while starting; its log: {self.log_file}\n{self.last_words()}"
                )
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"node {self.number} was not ready after {patience_seconds:.0f} s;"
                    f" its log: {self.log_file}\n{self.last_words()}"
                )
            time.sleep(_POLL_SECONDS)

    def send(self, number: signal.Signals) -> None:
        """Deliver a signal to the running process, if there is one."""
        if (pid := self.pid()) is not None:
            os.kill(pid, number)

    def wait_until_gone(self, *, patience_seconds: float) -> bool:
        """True once the process has ended, False if it still runs after the patience."""
        deadline = time.monotonic() + patience_seconds
        while self.pid() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        self._pid_file.unlink(missing_ok=True)
        return True

    def last_words(self) -> str:
        """The end of what the process wrote, for a report of why it ended."""
        lines: list[str] = []
        for file in (self.log_file, self._dir / "console.log"):
            if file.exists():
                lines += file.read_text(errors="replace").splitlines()[-_LOG_LINES_SHOWN:]
        return "\n".join(f"  | {line}" for line in lines)

    @property
    def _pid_file(self) -> Path:
        return self._dir / "cassandra.pid"


def _command_of(pid: int) -> str:
    """The command line of a process, empty if there is none of that number."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        done = subprocess.run(
            ["ps", "-ww", "-o", "args=", "-p", str(pid)], check=False, capture_output=True, text=True
        )
        return done.stdout


def _free_port() -> int:
    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        port: int = probe_socket.getsockname()[1]
        return port
