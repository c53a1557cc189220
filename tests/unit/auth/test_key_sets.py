"""Key sets that rotate."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from api.auth.https_fetch import Fetched, FetchError
from api.auth.key_sets import FileSource, KeySet, KeySetUnavailableError, UrlSource, parse_key_set
from common.limits import KEY_SET_COOL_DOWN_MS, KEY_SET_KEPT_MS, KEY_SET_STALE_MS_MAX
from tests.support.browserid import NOW_MS
from tests.support.oidc import key_set, public_jwk


class _Web:
    """One URL whose content changes."""

    def __init__(self, reply: Fetched | None) -> None:
        self.reply = reply
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def fetch(self, url: str) -> Fetched:
        self.asked.append(url)
        assert self.gate.wait(10)
        if self.reply is None:
            raise FetchError("down")
        return self.reply


URL = "https://login.example.org/keys"


def _web(*key_ids: str) -> tuple[_Web, KeySet]:
    web = _Web(Fetched(200, key_set(*map(public_jwk, key_ids))))
    return web, KeySet(UrlSource(URL, web))


def _has(keys: KeySet, key_id: str, *, after_ms: int = 0) -> bool:
    return keys.key_or_none(key_id, "RS256", now_ms=NOW_MS + after_ms) is not None


def test_a_set_is_fetched_when_it_is_first_needed_and_kept() -> None:
    """For five minutes no token causes another fetch."""
    web, keys = _web("k1")
    assert web.asked == []
    assert _has(keys, "k1")
    assert _has(keys, "k1", after_ms=KEY_SET_KEPT_MS - 1)
    assert web.asked == [URL]
    assert _has(keys, "k1", after_ms=KEY_SET_KEPT_MS)
    assert web.asked == [URL] * 2


def test_a_new_key_counts_as_soon_as_a_token_names_it() -> None:
    """Rotation needs no restart and no wait for the cache."""
    web, keys = _web("k1")
    assert _has(keys, "k1")
    web.reply = Fetched(200, key_set(public_jwk("k1"), public_jwk("k2")))
    assert _has(keys, "k2", after_ms=KEY_SET_COOL_DOWN_MS)


def test_unknown_keys_do_not_drive_fetches() -> None:
    """However many made-up key ids arrive, there is one fetch per cool-down."""
    web, keys = _web("k1")
    for step in range(100):
        assert not _has(keys, f"made-up-{step}", after_ms=step)
    assert len(web.asked) == 1
    assert not _has(keys, "made-up", after_ms=KEY_SET_COOL_DOWN_MS)
    assert not _has(keys, "made-up", after_ms=KEY_SET_COOL_DOWN_MS + 1)
    assert len(web.asked) == 2


def test_a_key_that_was_taken_away_stops_counting_with_the_next_fetch() -> None:
    """Five minutes at most."""
    web, keys = _web("k1", "k2")
    assert _has(keys, "k2")
    web.reply = Fetched(200, key_set(public_jwk("k1")))
    assert not _has(keys, "k2", after_ms=KEY_SET_KEPT_MS)


@pytest.mark.parametrize("broken", [None, Fetched(500, b""), Fetched(302, b""), Fetched(200, b"<html>")])
def test_the_last_good_set_counts_for_an_hour_when_the_issuer_fails(broken: Fetched | None) -> None:
    """An issuer's bad hour locks nobody out; after it nothing counts, until it answers again."""
    web, keys = _web("k1")
    good = web.reply
    assert _has(keys, "k1")
    web.reply = broken
    end_ms = KEY_SET_KEPT_MS + KEY_SET_STALE_MS_MAX
    assert _has(keys, "k1", after_ms=KEY_SET_KEPT_MS)
    assert _has(keys, "k1", after_ms=end_ms - 1)
    with pytest.raises(KeySetUnavailableError):
        _has(keys, "k1", after_ms=end_ms)
    web.reply = good
    assert _has(keys, "k1", after_ms=end_ms + KEY_SET_COOL_DOWN_MS)


def test_an_issuer_that_is_down_is_asked_once_per_cool_down() -> None:
    """Also before it ever answered."""
    web = _Web(None)
    keys = KeySet(UrlSource(URL, web))
    for after_ms in (0, 1, KEY_SET_COOL_DOWN_MS - 1):
        with pytest.raises(KeySetUnavailableError):
            _has(keys, "k1", after_ms=after_ms)
    assert len(web.asked) == 1


def test_requests_that_come_together_fetch_once() -> None:
    """Twenty threads that need the set wait for one fetch."""
    web, keys = _web("k1")
    web.gate.clear()
    found: list[bool] = []
    threads = [threading.Thread(target=lambda: found.append(_has(keys, "k1"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    web.gate.set()
    for thread in threads:
        thread.join(10)
    assert found == [True] * 20
    assert len(web.asked) == 1


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """An operator's new file counts with the next token, no restart, no wait."""
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(public_jwk("k1")))
    keys = KeySet(FileSource(file))
    assert _has(keys, "k1")
    assert not _has(keys, "k2", after_ms=1)
    replacement = tmp_path / "new.json"
    replacement.write_bytes(key_set(public_jwk("k2")))
    os.replace(replacement, file)
    assert _has(keys, "k2", after_ms=2)
    assert not _has(keys, "k1", after_ms=2)


def test_a_file_that_goes_bad_leaves_the_last_good_set(tmp_path: Path) -> None:
    """A half-written or missing file locks nobody out at once."""
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(public_jwk("k1")))
    keys = KeySet(FileSource(file))
    assert _has(keys, "k1")
    file.write_bytes(b"{")
    assert _has(keys, "k1", after_ms=1)
    file.unlink()
    assert _has(keys, "k1", after_ms=2)


def test_a_missing_file_is_unavailable(tmp_path: Path) -> None:
    """There never was a set."""
    with pytest.raises(KeySetUnavailableError):
        _has(KeySet(FileSource(tmp_path / "none.json")), "k1")


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": [1]}', b"\xff", b"[" * 50_000])
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    """One named error."""
    with pytest.raises(KeySetUnavailableError):
        parse_key_set(document)
