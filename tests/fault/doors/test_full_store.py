"""A store on a small file system of its own that fills up."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.deployment import Api, Deployment
from tests.support.service import wait_until
from tests.support.tools import skip_or_fail

SIZE_MIB: Final = 8
FILLER_BYTES: Final = 2 << 20
BODY: Final = b"x" * 50_000


@contextlib.contextmanager
def small_file_system(place: Path) -> Iterator[Path]:
    """Mount a tmpfs; only the superuser may."""
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode:
        skip_or_fail(f"no tmpfs can be mounted as user {os.geteuid()}: {mounted.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_refuses_publishes_and_nothing_else(tmp_path: Path) -> None:
    """503 ``store_full`` with ``Retry-After``; reads, claims and acks go on; with room it goes on by itself."""
    with small_file_system(tmp_path / "small") as place:
        filler = place / "filler"
        filler.write_bytes(b"\0" * FILLER_BYTES)
        deployment = Deployment(tmp_path / "d", store=f'backend = "sqlite"\npath = "{place}/messages.sqlite3"')
        with deployment:
            api = deployment.api()
            assert api.post("", data={"queue_name": "q"}).status_code == 201
            acknowledged = 0
            for _ in range(SIZE_MIB * (1 << 20) // len(BODY)):
                answer = api.post("q", data=BODY)
                if answer.status_code != 201:
                    break
                acknowledged += 1
            assert (answer.status_code, answer.json()["code"]) == (503, "store_full")
            assert int(answer.headers["Retry-After"]) >= 1
            assert acknowledged > 10
            assert '"store_full"' in deployment.node.log(10_000)
            assert messages(deployment) == acknowledged
            claims = api.post("q/claims", json={"limit": 3}).json()["claims"]
            settled = api.post("q/acks", json={"receipts": [claim["receipt"] for claim in claims]})
            assert settled.status_code == 200, settled.text
            filler.unlink()
            assert api.post("q", data=BODY).status_code == 201
            deployment.restart()
            assert messages(deployment) == acknowledged + 1


def messages(deployment: Deployment) -> int:
    """Return how many messages can be read, each of them whole."""
    found = deployment.api().get("q?limit=1000").json()["messages"]
    assert {len(message["body"]) for message in found} == {len(BODY)}
    return len(found)


def test_a_damaged_file_is_told_and_nothing_wrong_is_served(tmp_path: Path) -> None:
    """Pages overwritten while it was down: what can't be read is refused, and the log says what is wrong."""
    with Deployment(tmp_path) as deployment:
        api = deployment.api()
        api.post("", data={"queue_name": "q"})
        for number in range(200):
            assert api.post("q", data=f"{number} ".encode() * 2_000).status_code == 201
    file = tmp_path / "messages.sqlite3"
    size = file.stat().st_size
    with file.open("r+b") as content:
        for at in range(1 << 14, size - 4_096, 1 << 13):
            content.seek(at)
            content.write(os.urandom(4_096))
    deployment.node.start()
    deployment.front.start()
    try:
        wait_until(lambda: status_of(deployment.anonymous(), "/__live__") == 200, within_s=30, what="front end")
        assert status_of(deployment.api(), "q?limit=1000") == 503
        log = deployment.node.log(10_000)
        assert "malformed" in log or "damaged" in log, log[-2_000:]
    finally:
        deployment.stop()


def status_of(api: Api, path: str) -> int:
    """Return the status of a call, 0 where nobody listens."""
    try:
        return api.get(path).status_code
    except OSError:
        return 0


@pytest.mark.parametrize("content", [b"this is no database" * 1_000, b"SQLite format 3\0" + b"\xff" * 8_192])
def test_a_file_that_is_no_store_is_refused(tmp_path: Path, content: bytes) -> None:
    """The node does not start, and says why; the front end answers that no node is there."""
    deployment = Deployment(tmp_path)
    (tmp_path / "messages.sqlite3").write_bytes(content)
    deployment.node.start()
    deployment.front.start()
    try:
        wait_until(lambda: not deployment.node.is_running(), within_s=20, what="end of the node")
        assert "store_not_opened" in deployment.node.log()
        assert (tmp_path / "messages.sqlite3").read_bytes() == content
    finally:
        deployment.stop()
