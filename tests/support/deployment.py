"""Real processes without a supervisor: a gunicorn and a storage node on a SQLite store, each started, stopped,
killed and frozen by itself, with several applications; and a small client for them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

import requests

from tests.support.ports import free_ports
from tests.support.service import NODES_MAX, ROOT, wait_until

START_S_MAX: Final = 90.0
"""Seconds until a service is ready: the tables of a new keyspace take half a minute on a busy machine."""
STOP_S_MAX: Final = 20.0
LOG_LINES_SHOWN: Final = 12

GUARANTEES: Final = {
    "queuey": "at_least_once",
    "careless": "at_most_once",
    "careful": "exactly_once",
    "other": "at_least_once",
}
"""Application -> guarantee."""


SQLITE: Final = 'backend = "sqlite"\npath = "messages.sqlite3"'
"""Lines of ``[store]``."""


def key_of(application: str) -> str:
    """Return the application's key: it begins and ends with letters that v1 cut off."""
    return f"Application-{application}-n"


class Process:
    """One program in a process group of its own, its output in a file."""

    def __init__(self, name: str, command: list[str], directory: Path) -> None:
        self.name = name
        self._command = command
        self._directory = directory
        self._log = directory / "run" / f"{name}.log"
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that leads the group."""
        assert self._running is not None, f"{self.name} was not started"
        return self._running.pid

    def is_running(self) -> bool:
        """Say whether it was started and has not ended."""
        return self._running is not None and self._running.poll() is None

    def start(self) -> None:
        """Start it; its log goes on where it was."""
        assert not self.is_running(), f"{self.name} is running"
        environment = {**os.environ, "QUEUEY_CONFIG": str(self._directory / "queuey.toml")}
        with self._log.open("ab") as log:
            self._running = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Ask it to end and wait; kill it where it does not."""
        if self._running is None:
            return
        if self.is_running():
            self._running.terminate()
        try:
            self._running.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """``kill -9`` for its whole group."""
        assert self._running is not None
        self.signal(signal.SIGKILL)
        self._running.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send its whole group a signal, such as SIGSTOP and SIGCONT."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def log(self, lines: int = LOG_LINES_SHOWN) -> str:
        """Return the end of its log."""
        if not self._log.exists():
            return ""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])


class Api(requests.Session):
    """Calls one application with its key; paths are relative to ``/v1/<application>/``."""

    def __init__(self, base_url: str, authorization: str | None) -> None:
        super().__init__()
        self._base_url = base_url
        self.trust_env = False
        if authorization is not None:
            self.headers["Authorization"] = authorization

    def url(self, path: str) -> str:
        """Return the URL of a path: below the application, or from the root where it begins with a slash."""
        return f"{self._base_url.partition('/v1/')[0]}{path}" if path.startswith("/") else f"{self._base_url}/{path}"

    def request(self, method: str | bytes, url: str | bytes, *arguments: object, **more: object) -> requests.Response:
        """Send one request; 30 s at most."""
        more.setdefault("timeout", 30)
        return super().request(method, self.url(str(url)), *arguments, **more)  # type: ignore[arg-type]


class Deployment:
    """One configuration with its processes; a session of tests shares one, a fault test makes its own."""

    def __init__(
        self,
        directory: Path,
        *,
        guarantees: Mapping[str, str] = GUARANTEES,
        workers: int = 1,
        store: str = SQLITE,
        more: str = "",
    ) -> None:
        """``store`` holds the lines of ``[store]``, ``more`` whole tables of the configuration."""
        self.directory = directory
        (directory / "run").mkdir(parents=True, exist_ok=True)
        self.port, node_port, *_ = free_ports(1 + NODES_MAX)
        self.guarantees = guarantees
        tables = f"[store]\n{store}\n{more}"
        self.is_embedded = store == SQLITE
        (directory / "queuey.toml").write_text(self._configuration(workers, node_port, tables))
        self.node = Process("node", [sys.executable, "-m", "storage_node"], directory)
        gunicorn = ["-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "api.wsgi:app"]
        self.front = Process("front", [sys.executable, *gunicorn], directory)

    def __enter__(self) -> Deployment:
        """Start and wait until it is ready."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop, leaving nothing behind."""
        self.stop()

    @property
    def url(self) -> str:
        """The front end's URL."""
        return f"http://127.0.0.1:{self.port}"

    def api(self, application: str = "queuey", *, key: str | None = None) -> Api:
        """Return a client of an application, with its key unless another is given."""
        key = key_of(application) if key is None else key
        return Api(f"{self.url}/v1/{application}", f"Application {key}")

    def anonymous(self, application: str = "queuey") -> Api:
        """Return a client without a key."""
        return Api(f"{self.url}/v1/{application}", None)

    def start(self) -> None:
        """Start what is not running and wait until it is ready."""
        for process in (self.node, self.front):
            if not process.is_running():
                process.start()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Return once the front end reaches a node and its store."""
        try:
            wait_until(self.is_ready, within_s=START_S_MAX, what="ready service")
        except AssertionError as error:
            error.add_note(self.logs())
            raise

    def is_ready(self) -> bool:
        """Say whether ``/__ready__`` answers 200."""
        for process in (self.node, self.front):
            assert process.is_running(), f"{process.name} ended:\n{process.log()}"
        try:
            return requests.get(f"{self.url}/__ready__", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def stop(self) -> None:
        """End all processes, the front end first."""
        self.front.stop()
        self.node.stop()

    def kill(self) -> None:
        """``kill -9`` for all processes."""
        for process in (self.front, self.node):
            process.kill()

    def restart(self) -> None:
        """Stop and start all processes."""
        self.stop()
        self.start()

    def logs(self) -> str:
        """Return the ends of all logs."""
        return "\n".join(f"--- {process.name}\n{process.log()}" for process in (self.node, self.front))

    def _configuration(self, workers: int, node_port: int, more: str) -> str:
        applications = "".join(
            f'[applications.{name}]\nkey_sha256 = "{hashlib.sha256(key_of(name).encode()).hexdigest()}"\n'
            f'guarantee = "{guarantee}"\n'
            for name, guarantee in self.guarantees.items()
        )
        return (
            f'[api]\nbind = "127.0.0.1:{self.port}"\nworkers = {workers}\n'
            f'[storage_node]\nbind = "tcp://127.0.0.1:{node_port}"\n'
            f"{applications}{more}"
        )


@contextlib.contextmanager
def deployed(directory: Path, *, workers: int = 1, more: str = "") -> Iterator[Deployment]:
    """Run a deployment for one test."""
    with Deployment(directory, workers=workers, more=more) as deployment:
        yield deployment
