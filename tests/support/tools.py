"""Programs that a test needs: without them it is skipped on a laptop and fails in CI."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def require_program(name: str, package: str) -> str:
    """Return the path of a program, or say which Debian package brings it."""
    path = shutil.which(name)
    return path or skip_or_fail(f"{name} is missing: apt-get install {package}")


def skip_or_fail(reason: str) -> NoReturn:
    """Skip on a laptop; fail in CI, where nothing is skipped."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
