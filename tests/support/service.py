"""The whole service as an operator starts it: ``make run`` with a configuration of its own, on free ports."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cli.first_run import FIRST_APPLICATION, FIRST_KEY_FILE, read_key, write_first_configuration
from cli.processes import processes_of
from common.settings import run_dir
from tests.support.ports import free_ports

ROOT: Final = Path(__file__).resolve().parents[2]
READY: Final = "Queuey is ready"
START_S_MAX: Final = 60.0
STOP_S_MAX: Final = 20.0
NODES_MAX: Final = 4
"""Storage nodes that a test may ask for, each on the port after the other's."""


class Service:
    """One configuration in a directory of its own; started and stopped as often as a test likes."""

    def __init__(self, directory: Path, *, more: str = "", cassandra_host: str = "") -> None:
        self.directory = directory
        self.file = directory / "queuey.toml"
        self.output = directory / "output"
        self.port, self.node_port, *_ = free_ports(1 + NODES_MAX)
        self._words = ["STORE=cassandra"] if cassandra_host else []
        write_first_configuration(self.file, "cassandra" if cassandra_host else "sqlite")
        text = self.file.read_text().replace(":5000", f":{self.port}").replace(":5570", f":{self.node_port}")
        text = text.replace('hosts = ["127.0.0.1"]', f'hosts = ["{cassandra_host}"]')
        self.file.write_text(text + more)
        self.key = read_key(directory / FIRST_KEY_FILE)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The application's URL."""
        return f"http://127.0.0.1:{self.port}/v1/{FIRST_APPLICATION}"

    @property
    def authorization(self) -> dict[str, str]:
        """The header that names the application."""
        return {"Authorization": f"Application {self.key}"}

    @property
    def run_dir(self) -> Path:
        """Where the run's sockets and logs are."""
        return run_dir(self.file)

    def begin(self) -> None:
        """Start ``make run`` as a terminal would: in a process group of its own."""
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                ["make", "run", *self._words],
                cwd=ROOT,
                env={**os.environ, "QUEUEY_CONFIG": str(self.file)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def start(self, *, within_s: float = START_S_MAX) -> str:
        """Start, wait until it says that it is ready, and return all that it said."""
        self.begin()
        wait_until(lambda: READY in self.said() or self.has_ended(), within_s=within_s, what="a start")
        assert READY in self.said(), self.said()
        return self.said()

    def said(self) -> str:
        """Return what ``make run`` printed since its last start."""
        return self.output.read_text()

    def has_ended(self) -> bool:
        """Say whether ``make run`` has returned."""
        return self.process is None or self.process.poll() is not None

    def stop(self, number: signal.Signals = signal.SIGINT) -> float:
        """Press Ctrl-C (or send another signal to all of the terminal's group); return the seconds that it took."""
        assert self.process
        begun = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        self.process.wait(STOP_S_MAX + 10)
        return time.monotonic() - begun

    def processes(self) -> list[int]:
        """Return the pids of supervisord and all below it."""
        return processes_of(self.run_dir)

    def kill_everything(self) -> None:
        """``kill -9``: ``make``, the command, supervisord, every front end and node, none can say good-bye."""
        assert self.process
        while pids := self.processes():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def running_service(directory: Path, *, more: str = "") -> Iterator[Service]:
    """Start a service and leave nothing of it behind."""
    service = Service(directory, more=more)
    try:
        service.start()
        yield service
    finally:
        end(service)


def end(service: Service) -> None:
    """Stop a service in whatever state it is."""
    if service.process and not service.has_ended():
        service.stop()
    if service.process:
        service.kill_everything()


def curl_lines(said: str) -> list[str]:
    """Return the lines that are meant to be pasted."""
    return re.findall(r"^curl .*$", said, re.MULTILINE)


def wait_until(condition: Callable[[], object], *, within_s: float, what: str) -> None:
    """Return once the condition holds; fail when it does not in time."""
    end_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end_s, f"no {what} within {within_s} s"
        time.sleep(0.05)
