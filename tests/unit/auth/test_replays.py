"""Assertions that count once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from api.auth.replays import Replays
from tests.support.browserid import NOW_MS

ENDS_MS = NOW_MS + 120_000
ONE, OTHER = b"\1" * 32, b"\2" * 32


def test_an_assertion_counts_once(tmp_path: Path) -> None:
    """The first use is the only one; another assertion is another matter."""
    replays = Replays(tmp_path / "assertions")
    assert replays.use(ONE, expires_ms=ENDS_MS, now_ms=NOW_MS)
    assert not replays.use(ONE, expires_ms=ENDS_MS, now_ms=NOW_MS + 1)
    assert replays.use(OTHER, expires_ms=ENDS_MS, now_ms=NOW_MS)


def test_processes_that_share_the_directory_agree(tmp_path: Path) -> None:
    """What one has used is used for all, and for the next that starts."""
    assert Replays(tmp_path).use(ONE, expires_ms=ENDS_MS, now_ms=NOW_MS)
    assert not Replays(tmp_path).use(ONE, expires_ms=ENDS_MS, now_ms=NOW_MS)


def test_of_many_uses_at_once_one_wins(tmp_path: Path) -> None:
    """Making the file is the one step that decides."""
    replays = Replays(tmp_path)
    won: list[bool] = []
    barrier = threading.Barrier(16)

    def use() -> None:
        barrier.wait(10)
        won.append(replays.use(ONE, expires_ms=ENDS_MS, now_ms=NOW_MS))

    threads = [threading.Thread(target=use) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(won) == [False] * 15 + [True]


def test_what_has_ended_is_forgotten(tmp_path: Path) -> None:
    """The directory holds only what could still be accepted somewhere."""
    replays = Replays(tmp_path)
    replays.use(ONE, expires_ms=ENDS_MS, now_ms=NOW_MS)
    (tmp_path / "README").touch()
    replays.use(OTHER, expires_ms=ENDS_MS + 3_600_000, now_ms=NOW_MS + 3_600_000)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and path.name != "README"] == [OTHER.hex()]


def test_what_could_still_be_accepted_is_kept(tmp_path: Path) -> None:
    """Within the clock skew after its end an assertion is still refused the second time."""
    replays = Replays(tmp_path)
    assert replays.use(ONE, expires_ms=ENDS_MS, now_ms=NOW_MS)
    assert not replays.use(ONE, expires_ms=ENDS_MS, now_ms=ENDS_MS + 300_000)


def test_a_directory_that_can_not_be_written_is_an_error(tmp_path: Path) -> None:
    """Unknown is not the same as unused."""
    (tmp_path / "assertions").write_text("a file in the way")
    with pytest.raises(OSError, match="assertions"):
        Replays(tmp_path / "assertions").use(ONE, expires_ms=ENDS_MS, now_ms=NOW_MS)
