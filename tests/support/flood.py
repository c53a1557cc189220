"""Requests at a given rate over many connections, sent by h2load: a process in C that is not the bottleneck."""

from __future__ import annotations

import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.support.pacing import Times
from tests.support.tools import require_program

AT_FULL_RATE: Final = 0.0
"""A rate: each connection sends the next request when the one before was answered."""
_SPARE_S: Final = 60.0


def flood(url: str, body: bytes, headers: Sequence[str], *, per_s: float, seconds: int, connections: int) -> Times:
    """Post the body over and over, ``per_s`` in all where the connections allow it.

    A connection that broke off counts as failed with ``-1``; of 503 it is not looked whether it says ``Retry-After``.
    """
    with tempfile.TemporaryDirectory() as directory:
        content, log = Path(directory, "body"), Path(directory, "log")
        content.write_bytes(body)
        words = [require_program("h2load", "nghttp2-client"), "--h1", f"-c{connections}", f"-D{seconds}"]
        words += [f"--data={content}", f"--log-file={log}", *(f"-H{header}" for header in headers)]
        if per_s != AT_FULL_RATE:
            words.append(f"--rps={per_s / connections}")
        subprocess.run([*words, url], check=True, capture_output=True, timeout=seconds + _SPARE_S)
        return _read(log, seconds)


def _read(log: Path, seconds: float) -> Times:
    times = Times([], [], Counter(), seconds)
    for line in log.read_text().splitlines():
        _, status, micros = line.split("\t")
        took_s = int(micros) / 1e6
        if status.startswith("2"):
            times.accepted_s.append(took_s)
        elif status == "503":
            times.refused_s.append(took_s)
        else:
            times.failed[status] += 1
    return times
