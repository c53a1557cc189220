"""What a crowd of idle clients costs: memory for each, and the rate of publishing beside them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.bench.load import LoadError, Sample, run
from tests.bench.processes import cpu_s, resident_bytes
from tests.bench.stage import WORKERS, Stage
from tests.support.deployment import Deployment, key_of

POLLS: Final = 5_000
STREAMS: Final = 5_000
CONNECTIONS: Final = 32
SETTLED_S: Final = 0.5
SETTLED_S_MAX: Final = 30.0


def idle_polls(stage: Stage, seconds: float) -> Sample:
    """Long polls of a queue where nothing comes."""
    return _beside(stage, seconds, "/v1/queuey/quiet/claims", POLLS)


def idle_streams(stage: Stage, seconds: float) -> Sample:
    """Event streams of a queue where nothing comes."""
    return _beside(stage, seconds, "/v1/queuey/quiet", STREAMS)


def _beside(stage: Stage, seconds: float, path: str, count: int) -> Sample:
    """Publish without and with the crowd, on processes of their own: memory that was used once is not new."""
    with TemporaryDirectory(dir=stage.directory) as name, Deployment(Path(name), workers=WORKERS) as service:
        api = service.api()
        for queue in ("quiet", "busy"):
            api.post("", data={"queue_name": queue}).raise_for_status()
        api.close()
        run(service, "single", "/v1/queuey/busy", seconds=1, connections=CONNECTIONS)
        alone = run(service, "single", "/v1/queuey/busy", seconds=seconds, connections=CONNECTIONS)
        before = _resident(service)
        with _crowd(service, path, count):
            each = (_resident(service) - before) / count
            beside = run(service, "single", "/v1/queuey/busy", seconds=seconds, connections=CONNECTIONS)
    return beside._replace(bytes_each=each, of_alone=beside.requests_per_s / alone.requests_per_s)


@contextmanager
def _crowd(service: Deployment, path: str, count: int) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.bench.crowd", str(service.port), f"Application {key_of('queuey')}"]
    crowd = subprocess.Popen(
        [*command, str(count), path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert crowd.stdout is not None
    try:
        if crowd.stdout.readline() != "open\n":
            raise LoadError(crowd.communicate()[1][-1000:])
        _settle(service)
        yield
    finally:
        errors = crowd.communicate()[1]
    if crowd.returncode:
        raise LoadError(errors[-1000:])


def _settle(service: Deployment) -> None:
    """Wait until the service has nothing to do any more."""
    until_s = time.monotonic() + SETTLED_S_MAX
    before_s, now_s = -1.0, _cpu_s(service)
    while now_s - before_s > SETTLED_S / 10 and time.monotonic() < until_s:
        time.sleep(SETTLED_S)
        before_s, now_s = now_s, _cpu_s(service)


def _cpu_s(service: Deployment) -> float:
    return cpu_s(service.front.pid) + cpu_s(service.node.pid)


def _resident(service: Deployment) -> int:
    return resident_bytes(service.front.pid) + resident_bytes(service.node.pid)
