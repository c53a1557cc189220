"""What a starting deployment is doing: is it ready, or does a program keep dying?"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import xmlrpc.client
from collections import defaultdict
from pathlib import Path
from typing import Final, NamedTuple, cast

from supervisor.xmlrpc import SupervisorTransport

from cli.deployment import Deployment
from cli.examples import base_url
from common.addresses import host_and_port_or_none

STARTS_MAX: Final = 4
"""Starts of one program after which it is said to keep dying."""
TAIL_LINES: Final = 30
TAIL_BYTES: Final = 8_192
_PROBE_S: Final = 2.0


class Program(NamedTuple):
    """A process as supervisord sees it."""

    name: str
    state: str
    started_s: int
    log: str


class Watch:
    """Looks at the programs of a deployment; remembers how often each was started."""

    def __init__(self, deployment: Deployment) -> None:
        self._bind = deployment.settings.api.bind
        self._password = deployment.control_password()
        self._socket_url = f"unix://{deployment.run_dir / 'supervisor.sock'}"
        self._starts: defaultdict[str, set[int]] = defaultdict(set)

    def programs(self) -> list[Program]:
        """Return the programs, or none while supervisord does not answer yet."""
        try:
            answer = cast("list[dict[str, object]]", self._control().supervisor.getAllProcessInfo())
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return []
        programs = [_program(described) for described in answer]
        for program in programs:
            if program.started_s:
                self._starts[program.name].add(program.started_s)
        return programs

    def _control(self) -> xmlrpc.client.ServerProxy:
        # A new transport each time: one that failed to connect never recovers.
        transport = SupervisorTransport("queuey", self._password, self._socket_url)
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)

    def dying_or_none(self, programs: list[Program]) -> Program | None:
        """Return a program that gave up, or that was started again and again."""
        for program in programs:
            if program.state == "FATAL" or len(self._starts[program.name]) >= STARTS_MAX:
                return program
        return None

    def is_ready(self, programs: list[Program]) -> bool:
        """Say whether every program runs and the front end finds a node and the store behind it."""
        running = bool(programs) and all(program.state == "RUNNING" for program in programs)
        return running and is_answering_ready(self._bind)


def is_answering_ready(bind: str) -> bool:
    """Ask ``/__ready__``."""
    connection = _UnixConnection(bind.removeprefix("unix:")) if bind.startswith("unix:") else _tcp_connection(bind)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/__ready__")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False


def is_taken(bind: str) -> bool:
    """Say whether something else already listens where the front ends are to listen."""
    place = host_and_port_or_none(base_url(bind).removeprefix("http://"))
    if bind.startswith("unix:") or place is None:
        return False
    try:
        socket.create_connection(place, timeout=_PROBE_S).close()
    except OSError:
        return False
    return True


def tail(file: Path) -> str:
    """Return the last lines of a log."""
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, os.fstat(opened.fileno()).st_size - TAIL_BYTES))
            lines = opened.read().decode("utf-8", "replace").splitlines()
    except OSError as error:
        return str(error)
    return "\n".join(f"  {line}" for line in lines[-TAIL_LINES:])


def _program(described: dict[str, object]) -> Program:
    started = described["start"]
    return Program(
        name=str(described["name"]),
        state=str(described["statename"]),
        started_s=started if isinstance(started, int) else 0,
        log=str(described["stdout_logfile"]),
    )


def _tcp_connection(bind: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(base_url(bind).removeprefix("http://"), timeout=_PROBE_S)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_PROBE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_PROBE_S)
        self.sock.connect(self._path)
