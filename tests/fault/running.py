"""One run: start the site, let clients and nemesis at it, heal, drain, and read everything once more."""

from __future__ import annotations

import random
import subprocess
import threading
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.fault.calls import Caller
from tests.fault.claimers import Claimer
from tests.fault.cluster import APPLICATIONS, FAKETIME, Site
from tests.fault.history import UNFINISHED, Phase, Queue, Recorder, Run
from tests.fault.inflicting import Nemesis
from tests.fault.nemesis import Lane, schedule
from tests.fault.publishers import Publisher
from tests.fault.readers import Reader, read_everything
from tests.support.checkers import Outcome
from tests.support.service import ROOT, wait_until

QUEUES: Final = (
    Queue("most", "m2", 2),
    Queue("most", "m8", 8),
    Queue("least", "l1", 1, strict=True),
    Queue("least", "l4", 4),
    Queue("once", "o1", 1),
    Queue("once", "o3", 3, strict=True),
    Queue("once", "o8", 8),
)
PUBLISHERS: Final = 2
CLAIMERS: Final = 2
"""Per queue; with one reader each that makes 35 clients."""
DRAIN_S_MAX: Final = 480.0


class Clients:
    """All clients of a run."""

    def __init__(self, address: str, recorder: Recorder, seed: int) -> None:
        self._address = address
        self._recorder = recorder
        self._rng = random.Random(f"{seed} clients")
        self._stopping = threading.Event()
        self._draining = threading.Event()
        self._following = threading.Event()
        self._publishers = [Publisher(*self._for(queue, "p", n), self._stopping) for queue, n in _each(PUBLISHERS)]
        self._readers = [Reader(*self._for(queue, "r", n), self._following) for queue, n in _each(1)]
        self._claimers = [
            Claimer(*self._for(queue, "c", n), self._draining, leases=queue.application != "most")
            for queue, n in _each(CLAIMERS)
        ]

    def start(self) -> None:
        """Create the queues and begin."""
        for queue in QUEUES:
            caller = Caller("creator", self._address, self._recorder)
            wait_until(lambda q=queue, c=caller: c.create(q).outcome is Outcome.OK, within_s=120, what="queue")  # type: ignore[misc]
            caller.close()
        for thread in (*self._publishers, *self._readers, *self._claimers):
            thread.start()

    def stop_publishing(self) -> None:
        """Let publishers end; each has at most one call under way."""
        self._stopping.set()
        for thread in self._publishers:
            thread.join(60)
            assert not thread.is_alive(), f"{thread.name} never ended"

    def drain(self) -> None:
        """Let claimers take what is left, then readers look once more, and end."""
        self._draining.set()
        end_s = self._recorder.now_s() + DRAIN_S_MAX
        for thread in self._claimers:
            thread.join(max(0.0, end_s - self._recorder.now_s()))
            if thread.is_alive():
                self._recorder.add(Phase(f"{UNFINISHED}{thread.name}", self._recorder.now_s()))
        self._following.set()
        for reader in self._readers:
            reader.join(60)

    def read_everything(self) -> None:
        """Read what is stored in all queues."""
        caller = Caller("reader of all", self._address, self._recorder)
        for queue in QUEUES:
            wait_until(lambda q=queue: read_everything(caller, q), within_s=120, what=f"read of {queue.path}")  # type: ignore[misc]
        caller.close()

    def _for(self, queue: Queue, letter: str, number: int) -> tuple[Caller, Queue, random.Random]:
        name = f"{queue.name}{letter}{number}"
        return Caller(name, self._address, self._recorder), queue, random.Random(self._rng.random())


def run(directory: Path, seed: int, seconds: float, *, stop: threading.Event | None = None) -> Path:
    """Run once and return the history; ``stop`` ends the faults early."""
    ending = stop or threading.Event()
    with Site(directory) as site:
        recorder = Recorder(directory / "history.jsonl")
        try:
            guarantees = dict(APPLICATIONS)
            recorder.add(Run(seed, seconds, commit(), guarantees, QUEUES))
            _attack(site, recorder, seed, seconds, ending)
        finally:
            recorder.close()
    return recorder.file


def _attack(site: Site, recorder: Recorder, seed: int, seconds: float, ending: threading.Event) -> None:
    clients = Clients(urlsplit(site.url).netloc, recorder, seed)
    clients.start()
    site.supervise()
    lanes = schedule(seed, seconds)
    if FAKETIME is None:
        del lanes[Lane.CLOCK]
    nemesis = Nemesis(site, lanes, recorder)
    recorder.add(Phase("begun", recorder.now_s()))
    nemesis.start()
    ending.wait(seconds)
    recorder.add(Phase("ended", recorder.now_s()))
    nemesis.end()
    site.wait_until_whole()
    recorder.add(Phase("healed", recorder.now_s()))
    clients.stop_publishing()
    clients.drain()
    clients.read_everything()
    recorder.add(Phase("drained", recorder.now_s()))


def commit() -> str:
    """Return the commit that runs, and whether the tree has changes besides."""
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=, changed since"]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _each(count: int) -> list[tuple[Queue, int]]:
    return [(queue, number) for queue in QUEUES for number in range(1, count + 1)]
