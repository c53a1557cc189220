"""``make run STORE=cassandra``: the same service on a Cassandra that it starts and stops itself."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.cassandra import free_prefix
from tests.support.service import STOP_S_MAX, Service, curl_lines, end
from tests.support.tools import require_program

FETCH_AND_START_S_MAX: Final = 300.0


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    require_program("curl", "curl")
    require_program("java", "openjdk-17-jre-headless")
    made = Service(tmp_path, cassandra_host=f"{free_prefix(1)}.1")
    yield made
    end(made)


def paste(line: str) -> dict[str, object]:
    done = subprocess.run(["bash", "-c", line], env={"PATH": os.environ["PATH"]}, capture_output=True, check=True)
    return dict(json.loads(done.stdout))


def servers(directory: Path) -> list[str]:
    """Return the Java processes that keep their data below a directory."""
    commands = [file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if os.access(file, os.R_OK)]
    return [
        each.decode(errors="replace")[:40] for each in commands if str(directory).encode() in each and b"java" in each
    ]


@pytest.mark.timeout(600)
def test_cassandra_comes_and_goes_with_the_run_and_keeps_its_data(service: Service) -> None:
    """The printed lines work on it, and it leaves no process behind."""
    create, post, read = curl_lines(service.start(within_s=FETCH_AND_START_S_MAX))
    assert servers(service.directory)
    assert paste(create)["status"] == "ok"
    assert paste(post)["status"] == "ok"
    assert "Hello, world" in json.dumps(paste(read))
    assert service.stop() < STOP_S_MAX
    assert not servers(service.directory)
    service.start(within_s=FETCH_AND_START_S_MAX)
    assert "Hello, world" in json.dumps(paste(read))
    service.kill_everything()
    assert servers(service.directory), "a Cassandra survives the processes that use it"
    service.start(within_s=FETCH_AND_START_S_MAX)
    assert "Hello, world" in json.dumps(paste(read))
    service.stop()
    assert not servers(service.directory)
