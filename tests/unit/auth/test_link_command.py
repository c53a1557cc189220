"""``queuey link``, run as an operator runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from api.auth.keys import key_digest
from api.auth.links import Link, LinkVerifier

SECRET = b"0123456789abcdef0123456789abcdef"


def _run(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"QUEUEY_CONFIG": str(directory / "queuey.toml")}
    return subprocess.run(
        [sys.executable, "-c", "from cli.main import main; raise SystemExit(main())", "link", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _minted(directory: Path, *words: str) -> Link:
    done = _run(directory, *words, "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    link = LinkVerifier("web", {"s1": SECRET}).verify(shown["link"], now_ms=int(time.time() * 1000))
    assert link.link_id == shown["link_id"]
    return link


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A configuration with one link secret."""
    (tmp_path / "link-secret").write_bytes(SECRET + b"\n")
    (tmp_path / "link-secret").chmod(0o600)
    (tmp_path / "queuey.toml").write_text(
        f"""
        [applications.web]
        key_sha256 = "{key_digest("sesame")}"
        link_secrets = {{ s1 = "link-secret" }}

        [applications.bare]
        key_sha256 = "{key_digest("other")}"
        """
    )
    return tmp_path


def test_a_link_is_minted_from_the_configuration(directory: Path) -> None:
    """Reading one queue for a day, unless more is said."""
    link = _minted(directory, "web", "--queue", "news")
    assert (link.operations, link.queue, link.prefix, link.epoch) == (("read",), "news", None, 0)
    assert 0 <= time.time() + 86_400 - link.expires_s <= 60


def test_a_link_is_minted_without_a_configuration(directory: Path) -> None:
    """Offline, from the secret's file alone."""
    (directory / "queuey.toml").unlink()
    words = ["--secret", "s1", "--secret-file", str(directory / "link-secret"), "--allow", "publish,delete"]
    more = ["--epoch", "3", "--body-bytes", "100", "--per-minute", "6", "--seconds", "60", "--id", "x"]
    link = _minted(directory, "web", "--prefix", "user-42-", *words, *more)
    assert (link.operations, link.prefix, link.link_id) == (("publish", "delete"), "user-42-", "x")
    assert (link.epoch, link.body_bytes_max, link.requests_per_minute) == (3, 100, 6)


@pytest.mark.parametrize(
    "words",
    [
        ["web", "--queue", "news", "--allow", "create"],
        ["web", "--queue", "a b"],
        ["web", "--queue", "news", "--secret", "s9"],
        ["web", "--queue", "news", "--secret-file", "link-secret"],
        ["web", "--queue", "news", "--secret", "s1", "--secret-file", "missing"],
        ["bare", "--queue", "news"],
        ["unknown", "--queue", "news"],
    ],
)
def test_what_can_not_be_minted_is_said(directory: Path, words: list[str]) -> None:
    """On standard error, with exit status 1 and nothing printed that looks like a link."""
    done = _run(directory, *words)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("queuey: no link: ")
    assert "Traceback" not in done.stderr
