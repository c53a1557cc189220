"""What the runbook says of changing a running deployment, done to a real one under load."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.support.cassandra_store import store_lines
from tests.support.commands import Command
from tests.support.service import Service, end, wait_until

SQLITE = 'backend = "sqlite"\npath = "queuey.sqlite3"'


def queuey_of(service: Service) -> Command:
    return Command(service.directory, {"QUEUEY_CONFIG": str(service.file)})


class Load:
    """Publishes, reads, claims and acks without a pause; counts what was answered."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._ending = threading.Event()
        self.answers: Counter[str] = Counter()
        self._clients = [threading.Thread(target=self._work, args=(number,)) for number in range(4)]

    def start(self) -> None:
        for client in self._clients:
            client.start()

    def end(self) -> None:
        self._ending.set()
        for client in self._clients:
            client.join()

    def _work(self, number: int) -> None:
        with requests.Session() as session:
            session.headers.update(self._service.authorization)
            session.headers["Connection"] = "close"
            url = f"{self._service.url}/load-{number}"
            session.post(self._service.url, data={"queue_name": f"load-{number}"}, timeout=30).raise_for_status()
            for turn in itertools.count():
                if self._ending.is_set():
                    return
                self._call(session, "POST", url, data=f"message {turn}")
                self._call(session, "GET", url, params={"limit": "5"})
                claimed = self._call(session, "POST", f"{url}/claims", json={"limit": 2})
                receipts = [each["receipt"] for each in claimed.json()["claims"]] if claimed is not None else []
                if receipts:
                    self._call(session, "POST", f"{url}/acks", json={"receipts": receipts})

    def _call(self, session: requests.Session, method: str, url: str, **more: object) -> requests.Response | None:
        try:
            answer = session.request(method, url, timeout=30, **more)  # type: ignore[arg-type]
        except requests.RequestException as error:
            self.answers[type(error).__name__] += 1
            return None
        self.answers["ok" if answer.ok else f"{answer.status_code} {answer.text}"] += 1
        return answer if answer.ok else None


@contextmanager
def loaded(service: Service) -> Iterator[Load]:
    """Keep a service busy; every call that it answers must succeed."""
    load = Load(service)
    load.start()
    try:
        yield load
    finally:
        load.end()
    assert set(load.answers) == {"ok"}, load.answers


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    end(made)


def test_front_ends_and_node_are_restarted_while_they_work(service: Service) -> None:
    """The lines of the runbook: status, new front ends, a restarted node; no call fails."""
    service.start()
    queuey = queuey_of(service)
    assert queuey.text("ctl", "status").count("RUNNING") == 2
    with loaded(service) as load:
        (before,) = queuey.objects("nodes")
        wait_until(lambda: load.answers["ok"] > 50, within_s=30, what="load")
        queuey.text("ctl", "restart", "storage_node_0")
        wait_until(lambda: queuey.objects("nodes")[0] != before, within_s=20, what="new node")
        service.file.write_text(service.file.read_text().replace("workers = 2", "workers = 3"))
        queuey.text("ctl", "signal", "HUP", "api")
        so_far = load.answers["ok"]
        wait_until(lambda: load.answers["ok"] > so_far + 100, within_s=30, what="load")


@pytest.mark.cassandra
@pytest.mark.timeout(400)
def test_storage_nodes_are_added_and_drained_by_one_number(service: Service) -> None:
    """1, 3, 1 on Cassandra under load; front ends find them by themselves, and no call fails."""
    text = service.file.read_text()
    text = text.replace(SQLITE, store_lines(1, keyspace="scaling"))
    service.file.write_text(text.replace("[storage_node]\n", "[storage_node]\nprocesses = 1\n"))
    service.start()
    queuey = queuey_of(service)
    with loaded(service) as load:
        for old, new in ((1, 3), (3, 1)):
            file = service.file
            file.write_text(file.read_text().replace(f"processes = {old}", f"processes = {new}"))
            queuey.text("ctl", "update")
            wait_until(lambda new=new: len(queuey.objects("nodes")) == new, within_s=60, what=f"{new} nodes")  # type: ignore[misc]
            so_far = load.answers["ok"]
            wait_until(lambda so_far=so_far: load.answers["ok"] > so_far + 100, within_s=60, what="load")  # type: ignore[misc]
