"""The installed command ``queuey``, run as an operator runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

QUEUEY = str(Path(sys.executable).with_name("queuey"))


class Command:
    """``queuey`` with an environment of its own."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("QUEUEY_")}
        self.environment = {**inherited, **environment}

    def run(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run it to its end."""
        return subprocess.run(
            [QUEUEY, *words], cwd=self._directory, env=self.environment, input=stdin, capture_output=True, check=False
        )

    def text(self, *words: str, stdin: bytes = b"") -> str:
        """Return what it prints; it must succeed."""
        ended = self.run(*words, stdin=stdin)
        assert ended.returncode == 0, ended.stderr.decode()
        return ended.stdout.decode()

    def objects(self, *words: str, stdin: bytes = b"") -> list[dict[str, object]]:
        """Return the JSON objects that it prints."""
        return [json.loads(line) for line in self.text(*words, "--json", stdin=stdin).splitlines()]

    def refusal(self, *words: str) -> str:
        """Return what it says on standard error; it must fail."""
        ended = self.run(*words)
        assert ended.returncode == 1
        return ended.stderr.decode()

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start it with a pipe for what it prints."""
        return subprocess.Popen([QUEUEY, *words], cwd=self._directory, env=self.environment, stdout=subprocess.PIPE)
