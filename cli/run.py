"""``queuey run``: the whole deployment in the foreground, from the first configuration to the last signal."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cli.deployment import Deployment, RunError, supervisord_digest
from cli.examples import example_lines
from cli.first_run import write_first_configuration
from cli.local_cassandra import LocalCassandra
from cli.processes import end_processes
from cli.watch import Watch, is_taken, tail
from common.clock import SYSTEM_CLOCK
from common.settings import CONFIG_VARIABLE, config_file

NAME: Final = "run"
HELP: Final = "Start front ends and storage nodes, tell when they are ready, and stop them all on Ctrl-C or SIGTERM."

READY_S_MAX: Final = 90.0
"""Seconds that a start may take."""
STOP_S_MAX: Final = 18.5
"""Seconds that supervisord has for an orderly stop; then everything is killed."""
LEFTOVER_S_MAX: Final = 5.0
"""Seconds that what a killed run left behind has to end by itself."""
_LOOK_S: Final = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--store", choices=("sqlite", "cassandra"), help="the store of a first configuration")


def execute(arguments: argparse.Namespace) -> int:
    """Run until a signal; 0 after an orderly stop."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    try:
        deployment = _deployment(arguments.store)
        with _only_run(deployment):
            _Run(deployment, stopping).serve()
    except RunError as error:
        print(f"queuey: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def _deployment(store: str | None) -> Deployment:
    """Return the deployment, after writing its first configuration where there is none.

    Without a configuration of one's own each store has its own first one, so that both keep their data.
    """
    file = config_file()
    if store == "cassandra" and not os.environ.get(CONFIG_VARIABLE):
        file = file.with_name("queuey-cassandra.toml")
    if not file.exists():
        write_first_configuration(file, store or "sqlite")
        _say(f"Wrote a first configuration: {file}")
    deployment = Deployment(file)
    if store and deployment.settings.store.backend != store:
        raise RunError(f"{file} says backend = {deployment.settings.store.backend!r}, not {store!r}")
    return deployment


@contextlib.contextmanager
def _only_run(deployment: Deployment) -> Iterator[None]:
    """Hold the run's lock; the kernel lets go of it however this process ends.

    Raises:
        RunError: another process holds it.
    """
    deployment.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (deployment.run_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{deployment.file} is already running") from None
        yield


class _Run:
    def __init__(self, deployment: Deployment, stopping: threading.Event) -> None:
        self._deployment = deployment
        self._stopping = stopping
        self._output = deployment.run_dir / "supervisord.out"

    def serve(self) -> None:
        """Start, tell, wait, stop."""
        self._clear()
        cassandra = LocalCassandra(self._deployment)
        try:
            if self._deployment.settings.store.backend == "cassandra":
                cassandra.ensure(self._stopping)
            if not self._stopping.is_set():
                self._serve()
        finally:
            cassandra.stop()

    def _serve(self) -> None:
        supervisord = self._start()
        try:
            if self._wait_until_ready(supervisord):
                self._tell()
                self._wait(supervisord)
        finally:
            self._stop(supervisord)

    def _clear(self) -> None:
        ended = end_processes(self._deployment.run_dir, self._stopping.wait, patience_s=LEFTOVER_S_MAX)
        if ended:
            _say(f"Ended {ended} processes that an earlier run had left behind")
        self._deployment.prepare()
        bind = self._deployment.settings.api.bind
        if is_taken(bind):
            raise RunError(f"something else listens on {bind}; [api] bind in {self._deployment.file} names another")

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._deployment.supervisor_file)]
        digest = supervisord_digest(self._deployment.control_password())
        with self._output.open("wb") as output:
            return subprocess.Popen(
                command,
                env=self._deployment.environment(digest),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _wait_until_ready(self, supervisord: subprocess.Popen[bytes]) -> bool:
        """Return whether it became ready before it was told to stop."""
        _say(f"Starting Queuey with {self._deployment.file} ...")
        watch = Watch(self._deployment)
        end_s = SYSTEM_CLOCK.monotonic_s() + READY_S_MAX
        while not self._stopping.wait(_LOOK_S):
            if supervisord.poll() is not None:
                raise RunError(f"supervisord ended:\n{tail(self._output)}")
            programs = watch.programs()
            if watch.is_ready(programs):
                return True
            if dying := watch.dying_or_none(programs):
                raise RunError(f"{dying.name} keeps dying; the end of {dying.log}:\n{tail(Path(dying.log))}")
            if SYSTEM_CLOCK.monotonic_s() > end_s:
                logs = "\n".join(
                    f"{program.name} is {program.state}: {tail(Path(program.log))}" for program in programs
                )
                raise RunError(f"not ready after {READY_S_MAX:.0f} s\n{logs}")
        return False

    def _tell(self) -> None:
        lines = example_lines(self._deployment.settings, self._deployment.file.parent)
        _say("Queuey is ready. Try, in another terminal:\n\n" + "\n".join(lines) + "\n")
        _say(f"Logs are in {self._deployment.run_dir}. Ctrl-C stops everything.")

    def _wait(self, supervisord: subprocess.Popen[bytes]) -> None:
        while not self._stopping.wait(_LOOK_S):
            if supervisord.poll() is not None:
                raise RunError(f"supervisord ended:\n{tail(self._output)}")

    def _stop(self, supervisord: subprocess.Popen[bytes]) -> None:
        _say("Stopping ...")
        with contextlib.suppress(ProcessLookupError):
            supervisord.terminate()
        try:
            supervisord.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            _say("Some processes did not end in time; killing them")
        end_processes(self._deployment.run_dir, threading.Event().wait, patience_s=0)
        supervisord.wait()
        _say("Stopped.")


def _say(text: str) -> None:
    print(text, flush=True)
