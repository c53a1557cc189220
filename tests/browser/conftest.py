"""One Chromium and one service for all tests of this folder."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.browser import Browser, running_browser
from tests.support.tools import skip_or_fail
from tests.support.web import Web, running_web

HERE: Final = Path(__file__).parent


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The one browser."""
    with running_browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """A tab of its own, closed afterwards, so that what a page left running ends."""
    first = chromium.current_window_handle
    chromium.switch_to.new_window("tab")
    yield chromium
    chromium.close()
    chromium.switch_to.window(first)


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The service between its pages."""
    with running_web(tmp_path_factory.mktemp("web")) as web:
        yield web


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """What ``package-lock.json`` names, installed beside it."""
    if shutil.which("npm") is None:
        skip_or_fail("npm is missing: apt-get install npm")
    lock, installed = HERE / "package-lock.json", HERE / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=HERE, check=True)
    return HERE / "node_modules"
