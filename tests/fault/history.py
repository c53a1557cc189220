"""What clients saw, as JSON lines: a first line about the run, then one line per call and per fault, in any order.

Times are seconds since the start of the run, of one monotonic clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from tests.support.checkers import Outcome

Json: TypeAlias = "Mapping[str, Json] | list[Json] | str | int | float | bool | None"


class Queue(msgspec.Struct, frozen=True):
    """One queue of the run."""

    application: str
    name: str
    partitions: int
    strict: bool = False

    @property
    def path(self) -> str:
        """How it is called in the history."""
        return f"{self.application}/{self.name}"


class Run(msgspec.Struct, frozen=True, tag="run"):
    """The run itself."""

    seed: int
    seconds: float
    commit: str
    guarantees: dict[str, str]
    queues: tuple[Queue, ...]


class Call(msgspec.Struct, frozen=True, tag="call"):
    """One call of a client."""

    kind: str
    """publish, claim, ack, release, extend, read, or stored (a read of everything at the end)"""
    client: str
    queue: str
    began_s: float
    ended_s: float
    outcome: Outcome
    status: int
    """0 where there was no answer"""
    code: str
    """the service's code of a failure, or what happened to the connection"""
    sent: dict[str, object]
    answer: dict[str, object]


class Inflicted(msgspec.Struct, frozen=True, tag="fault"):
    """One fault, and how long it was there."""

    kind: str
    target: str
    began_s: float
    ended_s: float
    detail: str = ""


UNDONE: Final = "undone: "
"""Begins the phase that tells what the nemesis could not do: its lane ended with it."""
UNFINISHED: Final = "unfinished: "
"""Begins the phase that names a client which never found its queue empty."""


class Phase(msgspec.Struct, frozen=True, tag="phase"):
    """A moment of the run, such as the one when everything was healed."""

    name: str
    at_s: float


Line: TypeAlias = Run | Call | Inflicted | Phase


class Recorder:
    """Writes a history; any thread may add to it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._out = file.open("wb")
        self._lock = threading.Lock()
        self._encoder = msgspec.json.Encoder()
        self._begun_s = time.monotonic()

    def now_s(self) -> float:
        """Return the seconds since the run began."""
        return time.monotonic() - self._begun_s

    def add(self, line: Line) -> None:
        """Write one line."""
        text = self._encoder.encode(line) + b"\n"
        with self._lock:
            self._out.write(text)

    def close(self) -> None:
        """Write what is left."""
        with self._lock:
            self._out.close()


def read_lines(file: Path) -> Iterator[Line]:
    """Return the lines of a history; a last one that was cut off is left out."""
    decoder = msgspec.json.Decoder(Line)
    for text in file.read_bytes().splitlines(keepends=True):
        if text.endswith(b"\n"):
            yield decoder.decode(text)
