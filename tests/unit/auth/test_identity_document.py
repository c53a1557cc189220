"""The recipes of ``docs/identity.md``, run as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import msgspec
import pytest

from api.auth.links import Link, LinkVerifier
from common.identity_settings import BrowserIdSettings, OidcIssuerSettings

DOCUMENT = (Path(__file__).parents[3] / "docs" / "identity.md").read_text()
SECRET = b"kV7mRr9p1nqjXW0o3u8b5sYd2fEa4cHt6gLzQxIvNwM="


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("language", "shell"), [("python", [sys.executable, "-c"]), ("sh", ["sh", "-ec"])])
def test_the_recipe_for_links_makes_links(tmp_path: Path, language: str, shell: list[str]) -> None:
    """In both languages, with nothing of this project at hand."""
    (tmp_path / "link-secret-1").write_bytes(SECRET + b"\n")
    (recipe,) = _blocks(language)
    done = subprocess.run([*shell, recipe], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    now_ms = int(time.time() * 1000)
    link = LinkVerifier("web", {"s1": SECRET}).verify(done.stdout.strip(), now_ms=now_ms)
    assert link == Link(
        application="web", link_id="visitor-42", operations=("read",), queue="news", expires_s=link.expires_s
    )
    assert 0 <= now_ms // 1000 + 3_600 - link.expires_s <= 60


def test_the_settings_shown_are_settings() -> None:
    """What the document shows converts, and says nothing wrong."""
    shown = [tomllib.loads(block)["applications"]["web"] for block in _blocks("toml")]
    (oidc,) = [part["oidc"][0] for part in shown if "oidc" in part]
    (browserid,) = [part["browserid"] for part in shown if "browserid" in part]
    assert msgspec.convert(oidc, OidcIssuerSettings).problems() == ()
    assert msgspec.convert(browserid, BrowserIdSettings).problems() == ()
