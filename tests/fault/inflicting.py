"""Carries a schedule out on a site, a thread for each lane; what was really done goes into the history."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from deploy.cassandra.problems import ClusterError
from tests.fault.cluster import HEALED_S_MAX, Site
from tests.fault.history import UNDONE, Inflicted, Phase, Recorder
from tests.fault.nemesis import SCALES, Fault, Kind, Lane
from tests.fault.proxies import Pair
from tests.support.deployment import Process

STORE_ENDS_S: Final = 30.0
RESTART_S_MAX: Final = 30.0


class Nemesis:
    """Does what the schedule says until its end, then leaves the site as it should be."""

    def __init__(self, site: Site, lanes: dict[Lane, list[Fault]], recorder: Recorder) -> None:
        self._site = site
        self._recorder = recorder
        self._ending = threading.Event()
        self._begun_s = 0.0
        self._threads = [
            threading.Thread(target=self._run, args=(faults,), name=f"nemesis {lane}", daemon=True)
            for lane, faults in lanes.items()
        ]

    def start(self) -> None:
        """Begin."""
        self._begun_s = self._recorder.now_s()
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Wait until all is undone; what could not be done is in the history."""
        self._ending.set()
        for thread in self._threads:
            thread.join(2 * HEALED_S_MAX)
            assert not thread.is_alive(), f"{thread.name} never ended"

    def _run(self, faults: list[Fault]) -> None:
        try:
            for fault in faults:
                if self._ending.wait(max(0.0, self._begun_s + fault.at_s - self._recorder.now_s())):
                    return
                self._inflict(fault)
        except (AssertionError, ClusterError, OSError) as error:
            text = f"{type(error).__name__}: {error}".partition("\n")[0]
            self._recorder.add(Phase(f"{UNDONE}{text}", self._recorder.now_s()))

    def _inflict(self, fault: Fault) -> None:
        began_s = self._recorder.now_s()
        with self._recorded(fault, began_s):
            WAYS[fault.kind](self, fault)

    @contextmanager
    def _recorded(self, fault: Fault, began_s: float) -> Iterator[None]:
        try:
            yield
        finally:
            detail = f"{fault.for_s:.1f} s" + (f", {fault.amount:+.2f}" if fault.amount else "")
            targets = " ".join(fault.targets)
            self._recorder.add(Inflicted(fault.kind, targets, began_s, self._recorder.now_s(), detail))

    def _last(self, seconds: float) -> None:
        self._ending.wait(seconds)

    # --- processes

    def _processes(self, fault: Fault) -> list[Process]:
        """The targets that run at present: scaling may have ended one."""
        found = [self._site.process(name) for name in fault.targets]
        return [process for process in found if process.is_running()]

    def kill(self, fault: Fault) -> None:
        """``kill -9``; started again after a while."""
        for process in self._processes(fault):
            self._site.kept_down.add(process.name)
            process.kill()
            self._last(fault.for_s)
            self._site.kept_down.discard(process.name)

    def pause(self, fault: Fault) -> None:
        """Freeze, then let go on."""
        running = self._processes(fault)
        for process in running:
            process.signal(signal.SIGSTOP)
        self._last(fault.for_s)
        for process in running:
            process.signal(signal.SIGCONT)

    def restart(self, fault: Fault) -> None:
        """One after the other: SIGTERM, and the next when the first serves again, or can't for lack of a store."""
        for process in self._processes(fault):
            logged = self._site.logged_bytes(process)
            process.stop()
            give_up_s = self._recorder.now_s() + RESTART_S_MAX
            while not self._site.is_serving(process, logged) and self._recorder.now_s() < give_up_s:
                self._last(0.2)

    def scale(self, fault: Fault) -> None:
        """Start or drain storage nodes."""
        for wanted in SCALES:
            self._site.wanted_nodes = wanted
            for process in self._site.nodes[wanted:]:
                if process.is_running():
                    process.stop()
            self._last(fault.for_s / len(SCALES))

    # --- Cassandra

    def pause_stores(self, fault: Fault) -> None:
        """Freeze Cassandra nodes."""
        nodes = [self._site.cassandra.nodes[int(name[-1]) - 1] for name in fault.targets]
        for node in nodes:
            node.send(signal.SIGSTOP)
        self._last(fault.for_s)
        for node in nodes:
            node.send(signal.SIGCONT)

    def kill_stores(self, fault: Fault) -> None:
        """``kill -9`` Cassandra nodes and start them again."""
        numbers = [int(name[-1]) for name in fault.targets]
        nodes = [self._site.cassandra.nodes[number - 1] for number in numbers]
        for node in nodes:
            node.send(signal.SIGKILL)
        for node in nodes:
            assert node.wait_until_gone(patience_seconds=STORE_ENDS_S), f"Cassandra node {node.number} did not end"
        self._last(fault.for_s)
        self._site.start_stores(numbers)

    # --- links and clock

    def harm_links(self, fault: Fault) -> None:
        """Cut, hold or delay links."""
        proxies = self._site.proxies
        pairs = [Pair(*text.split(">")) for text in fault.targets]
        for pair in pairs:
            if fault.kind is Kind.CUT:
                proxies.cut(pair)
            elif fault.kind is Kind.HOLD:
                proxies.hold(pair)
            else:
                proxies.delay(pair, fault.amount)
        self._last(fault.for_s)
        for pair in pairs:
            proxies.heal(pair)

    def move_clock(self, fault: Fault) -> None:
        """Move a node's clock and set it right again."""
        self._site.set_clock(fault.amount)
        self._last(fault.for_s)
        self._site.set_clock(0.0)


WAYS: Final = {
    Kind.KILL: Nemesis.kill,
    Kind.PAUSE: Nemesis.pause,
    Kind.RESTART: Nemesis.restart,
    Kind.ROLL: Nemesis.restart,
    Kind.SCALE: Nemesis.scale,
    Kind.KILL_STORE: Nemesis.kill_stores,
    Kind.PAUSE_STORE: Nemesis.pause_stores,
    Kind.PAUSE_MAJORITY: Nemesis.pause_stores,
    Kind.KILL_MAJORITY: Nemesis.kill_stores,
    Kind.CUT: Nemesis.harm_links,
    Kind.HOLD: Nemesis.harm_links,
    Kind.DELAY: Nemesis.harm_links,
    Kind.CLOCK: Nemesis.move_clock,
}
