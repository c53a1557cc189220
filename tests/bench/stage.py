"""What every bench runs against: the service and the bare endpoint, both under the deployment's gunicorn settings."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import requests

from common.settings import load_settings
from tests.support.deployment import Deployment, Process
from tests.support.service import wait_until

WORKERS: Final = 2
RAW_ROWS: Final = 1_000
BODY: Final = b"x" * 100


class Stage:
    """Running processes, and names for queues that no run used before."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.service = Deployment(directory / "service", workers=WORKERS)
        self.bare = Deployment(directory / "bare", workers=WORKERS)
        gunicorn = ["-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "tests.bench.bare:app"]
        self.bare.front = Process("bare", [sys.executable, *gunicorn], self.bare.directory)
        self._numbers = itertools.count()

    def start(self) -> None:
        """Start all and wait until it answers."""
        self.service.start()
        self.bare.front.start()
        wait_until(self._is_bare_ready, within_s=60, what="bare endpoint")

    def stop(self) -> None:
        """End all."""
        self.bare.front.stop()
        self.service.stop()

    def new_queue(self, application: str = "queuey", *, partitions: int = 1) -> str:
        """Create a queue; return its path."""
        name = f"bench-{next(self._numbers)}"
        api = self.service.api(application)
        api.post(
            "", data={"queue_name": name, "partitions": str(partitions), "max_in_flight": "20000"}
        ).raise_for_status()
        api.close()
        return f"/v1/{application}/{name}"

    def new_prefix(self) -> str:
        """Return the beginning of queue names that nothing used before."""
        return f"many-{next(self._numbers)}-"

    @property
    def endpoint(self) -> str:
        """Where the node listens."""
        return load_settings(self.service.directory / "queuey.toml").storage_node.endpoint(0)

    def raw_rows_per_s(self, seconds: float) -> float:
        """Insert rows of 100-byte bodies into a file of SQLite's own, 1,000 a durable commit."""
        path = self.directory / "raw.sqlite3"
        connection = sqlite3.connect(path, isolation_level=None)
        connection.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;"
            "DROP TABLE IF EXISTS message; CREATE TABLE message (log INTEGER, id BLOB, expires INTEGER,"
            "written INTEGER, content_type TEXT, attributes BLOB, body BLOB, PRIMARY KEY (log, id)) WITHOUT ROWID"
        )
        following = 1
        begun_s, rows = time.monotonic(), 0
        while (lasted_s := time.monotonic() - begun_s) < seconds:
            numbers = range(following, following + RAW_ROWS)
            batch = [(1, number.to_bytes(16, "big"), 1 << 60, 1 << 60, None, None, BODY) for number in numbers]
            following += RAW_ROWS
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?)", batch)
            connection.execute("COMMIT")
            rows += RAW_ROWS
        connection.close()
        return rows / lasted_s

    def _is_bare_ready(self) -> bool:
        try:
            return requests.get(f"{self.bare.url}/__ready__", timeout=5).ok
        except requests.RequestException:
            return False


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """Set up in a directory on the checkout's own disk, and leave nothing behind."""
    Path("var").mkdir(exist_ok=True)
    with TemporaryDirectory(dir="var", prefix="bench-") as name:
        built = Stage(Path(name).resolve())
        try:
            built.start()
            yield built
        finally:
            built.stop()
