"""queuey.js outside browsers: in Node against the real service, its types, and what npm would publish."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.support.deployment import key_of
from tests.support.service import ROOT
from tests.support.tools import skip_or_fail
from tests.support.web import Web

CLIENT: Final = ROOT / "api" / "static" / "client"
HERE: Final = Path(__file__).parent
RUN_S_MAX: Final = 90.0


def run(command: list[str], directory: Path, **more: str) -> str:
    """Run a program and return what it prints; fail with all that it said."""
    environment: Mapping[str, str] = {**os.environ, **more}
    ended = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=RUN_S_MAX, check=False
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as npm would publish it."""
    if shutil.which("npm") is None:
        skip_or_fail("npm is missing: apt-get install npm")
    directory = tmp_path_factory.mktemp("package")
    (packed,) = json.loads(
        run(["npm", "pack", "--json", "--pack-destination", str(directory), str(CLIENT)], directory)
    )
    return directory / str(packed["filename"])


def test_it_keeps_its_promises_in_node(web: Web) -> None:
    """Publish, read, follow, claim and ack, while a proxy cuts connections, loses answers and holds streams back."""
    if shutil.which("node") is None:
        skip_or_fail("node is missing: apt-get install nodejs")
    run(
        ["node", "--test", "--test-reporter=spec", "client/client.test.js"],
        HERE,
        QUEUEY_URL=web.service.url,
        QUEUEY_KEY=key_of("web"),
    )


def test_its_package_holds_the_module_its_types_and_how_to_use_it(package: Path) -> None:
    """And nothing else."""
    names = run(["tar", "tzf", str(package)], package.parent).split()
    assert sorted(names) == [f"package/{name}" for name in ("README.md", "package.json", "queuey.d.ts", "queuey.js")]


def test_programs_that_install_it_are_checked_by_its_types(package: Path, node_modules: Path, tmp_path: Path) -> None:
    """What is right compiles under ``strict``, and what is wrong does not."""
    (tmp_path / "package.json").write_text('{"private": true, "type": "module"}')
    run(["npm", "install", "--offline", "--no-audit", "--no-fund", str(package)], tmp_path)
    shutil.copy(HERE / "client" / "consumer.ts", tmp_path)
    options = ["--strict", "--noUncheckedIndexedAccess", "--target", "es2022", "--module", "nodenext"]
    options += ["--lib", "es2022,dom,dom.iterable,dom.asynciterable", "--types", "", "--skipLibCheck", "false"]
    run([str(node_modules / ".bin" / "tsc"), *options, "--outDir", "out", "consumer.ts"], tmp_path)
    printed = run(
        ["node", "-e", "import('queuey').then((all) => console.log(Object.keys(all).sort().join()))"], tmp_path
    )
    assert printed.strip() == "Queue,Queuey,QueueyError"
