"""One launcher a data folder: the second is told about the first."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.cassandra.problems import ClusterError


@contextmanager
def held(lock_file: Path) -> Iterator[None]:
    """Hold the lock while inside; it vanishes with the process, however that ends."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClusterError(
                f"a launcher already runs this cluster (process {holder_or_none(lock_file)})"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
        file.truncate(0)


def holder_or_none(lock_file: Path) -> int | None:
    """The process that holds the lock now."""
    try:
        with lock_file.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0) or None
    except OSError:
        pass
    return None
