"""The embedded store under kill -9: what was acknowledged is there."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage_node.store.sqlite import open_sqlite_store
from tests.support.append_until_killed import WRITERS, body_of, log_of
from tests.support.store_calls import list_all

ROUNDS = 5
PROJECT_DIR = Path(__file__).parents[2]


def acknowledged_until_killed(path: Path, run: str, wanted: int) -> dict[str, bytes]:
    """Let a process append, kill it once it has acknowledged so many, and return all that it acknowledged."""
    command = [sys.executable, "-m", "tests.support.append_until_killed", str(path), run]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT_DIR) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(wanted)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines(keepends=True)
    return {
        name: bytes.fromhex(message_id)
        for name, message_id in (line.split() for line in lines if line.endswith("\n"))
        if len(message_id) == 32
    }


async def stored(path: Path) -> dict[str, bytes]:
    """Return name -> id of what is there, having checked each body and the order of each log."""
    store = await open_sqlite_store(path)
    found: dict[str, bytes] = {}
    for log in {log_of(writer) for writer in range(WRITERS)}:
        rows = await list_all(store, log, 0)
        fence = await store.read_fence(log, 0)
        assert fence is not None
        assert fence.last == max(row.message_id for row in rows)
        for row in rows:
            name = row.body[: len(row.body) // (1 + _name_chars(row.body) * 7)].decode()
            assert row.body == body_of(name)
            assert name not in found
            found[name] = row.message_id
    await store.close()
    return found


def _name_chars(body: bytes) -> int:
    return next(n for n in range(1, len(body) + 1) if n * (1 + n * 7) == len(body))


@pytest.mark.timeout(60)
def test_what_was_acknowledged_before_a_kill_is_there_exactly_once(tmp_path: Path) -> None:
    """Five processes in turn are killed in mid-flight; every acknowledged append of all of them is read back."""
    path, rng = tmp_path / "queuey.sqlite3", random.Random(5)
    acknowledged: dict[str, bytes] = {}
    for number in range(ROUNDS):
        acknowledged |= acknowledged_until_killed(path, f"run{number}", rng.randrange(1, 400))
        found = asyncio.run(stored(path))
        assert {name: found.get(name) for name in acknowledged} == acknowledged
