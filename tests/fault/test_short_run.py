"""A minute of faults on the whole system; ``make faults SECONDS=1800`` is the long form."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.service import ROOT
from tests.support.tools import require_program

SEED = "1"
SECONDS = "60"


@pytest.mark.cassandra
@pytest.mark.timeout(900)
def test_a_minute_of_faults_breaks_no_guarantee() -> None:
    """Nothing lost, duplicated, reordered, phantom, settled twice; readers have no gaps."""
    for name in ("nginx", "faketime"):
        require_program(name, {"nginx": "nginx-light"}.get(name, name))
    command = [sys.executable, "-m", "tests.fault", "--seconds", SECONDS, "--seed", SEED]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
