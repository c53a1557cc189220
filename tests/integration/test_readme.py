"""The README's commands do what it shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.service import ROOT, Service, running_service
from tests.support.tools import require_program

BLOCK: Final = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
MARK: Final = "--- next command ---"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running_service(tmp_path) as running:
        yield running


def shown_session() -> list[tuple[str, str]]:
    """Return the README's commands, each with the output that is shown below it."""
    text = "".join(BLOCK.findall((ROOT / "README.md").read_text("utf-8")))
    commands = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    return [(command, output.strip()) for command, _, output in (each.partition("\n") for each in commands)]


def run_session(commands: list[str], service: Service) -> list[str]:
    """Run all in one shell, against a service elsewhere than at the default place."""
    script = "set -e\n" + "".join(f"{command}\necho '{MARK}'\n" for command in commands)
    script = script.replace("127.0.0.1:5000", f"127.0.0.1:{service.port}")
    script = script.replace("var/first-key", str(service.directory / "first-key"))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "QUEUEY_CONFIG": str(service.file)}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [output.strip() for output in done.stdout.split(MARK)]


def shape(value: object) -> object:
    """Return what does not differ from run to run: keys, types and words, no ids and times."""
    if isinstance(value, dict):
        return {re.sub(r"[0-9a-f]{32}", "id", key): shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    is_word = isinstance(value, str) and re.fullmatch(r"[a-zA-Z_/, ]{1,20}", value)
    return value if is_word or isinstance(value, int) else type(value).__name__


def test_the_session_in_the_readme_works_as_shown(service: Service) -> None:
    """Every command succeeds, and every answer has the shape that is printed."""
    require_program("curl", "curl")
    session = shown_session()
    assert len(session) > 8
    outputs = run_session([command for command, _ in session], service)
    for (command, shown), output in zip(session, outputs, strict=False):
        if shown:
            assert shape(json.loads(output)) == shape(json.loads(shown)), command


def test_every_make_target_that_documents_name_exists() -> None:
    """In the README and in CONTRIBUTING."""
    makefiles = [ROOT / "Makefile", *ROOT.glob("*/*/*.mk")]
    targets = [re.findall(r"^([^\s:.#][^:=\n]*):", file.read_text("utf-8"), re.MULTILINE) for file in makefiles]
    known = {target for lines in targets for line in lines for target in line.split()}
    text = (ROOT / "README.md").read_text("utf-8") + (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = {word for words in re.findall(r"`make ([a-z -]+)", text) for word in words.split()}
    assert named
    assert named <= known
