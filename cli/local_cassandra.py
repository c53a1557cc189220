"""A Cassandra on this machine for a run that finds none: started before the nodes, stopped after them."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from cli.deployment import Deployment, RunError
from common.addresses import is_loopback

STOP_S_MAX: Final = 60.0
_PROBE_S: Final = 2.0
_LOOK_S: Final = 0.2
_ROOT: Final = Path(__file__).resolve().parent.parent


class LocalCassandra:
    """Knows whether the run's Cassandra is its own; a mark in the run directory outlives a killed run."""

    def __init__(self, deployment: Deployment) -> None:
        self._store = deployment.settings.store
        self._data_dir = deployment.file.parent / "cassandra"
        self._mark = deployment.run_dir / "own-cassandra"

    def ensure(self, stopping: threading.Event) -> None:
        """Return once some configured host answers, or the run is to stop.

        Raises:
            RunError: none answers, and none can be started here.
        """
        if self._answers():
            return
        first = self._store.hosts[0]
        if not is_loopback(first) or ":" in first:
            raise RunError(f"no Cassandra answers on {', '.join(self._store.hosts)} port {self._store.port}")
        self._mark.touch()
        launcher = subprocess.Popen(self._command("start", *self._port()), cwd=_ROOT, start_new_session=True)
        while not self._answers() and not stopping.wait(_LOOK_S):
            if launcher.poll() is not None:
                raise RunError("Cassandra could not be started; its launcher says why above")

    def stop(self) -> None:
        """Stop it if this run, or a killed run before it, started it."""
        if self._mark.exists():
            subprocess.run(self._command("stop"), cwd=_ROOT, check=False, timeout=STOP_S_MAX)
            self._mark.unlink()

    def _command(self, word: str, *more: str) -> list[str]:
        first = self._store.hosts[0]
        prefix = "127.0.0" if first == "localhost" else first.rpartition(".")[0]
        place = ["--prefix", prefix, "--data-dir", str(self._data_dir)]
        return [sys.executable, "-m", "deploy.cassandra", word, *place, *more]

    def _port(self) -> tuple[str, str]:
        return ("--port", str(self._store.port))

    def _answers(self) -> bool:
        return any(self._takes_connections(host) for host in self._store.hosts)

    def _takes_connections(self, host: str) -> bool:
        try:
            socket.create_connection((host, self._store.port), timeout=_PROBE_S).close()
        except OSError:
            return False
        return True
