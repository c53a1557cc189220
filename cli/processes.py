"""Every process of one run, found by the run directory in its environment: also those whose parent was killed."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cli.deployment import RUN_DIR_VARIABLE

_LOOK_S: Final = 0.1


def processes_of(run_dir: Path) -> list[int]:
    """Return the pids of the live processes of a run, this one excepted (none where there is no ``/proc``)."""
    mark = f"{RUN_DIR_VARIABLE}={run_dir}".encode()
    found = [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if mark in _environment_of(entry)]
    return [pid for pid in found if pid != os.getpid()]


def end_processes(run_dir: Path, wait: Callable[[float], object], *, patience_s: float) -> int:
    """End what is left of a run: SIGTERM, and SIGKILL after ``patience_s``; return how many there were."""
    first = processes_of(run_dir)
    _signal(first, signal.SIGTERM)
    left = patience_s
    while left > 0 and processes_of(run_dir):
        wait(_LOOK_S)
        left -= _LOOK_S
    while remaining := processes_of(run_dir):
        _signal(remaining, signal.SIGKILL)
        wait(_LOOK_S)
    return len(first)


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _environment_of(entry: Path) -> list[bytes]:
    try:
        return (entry / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
