"""The service needs no rights: it runs without any capability, and keeps its files to itself."""

from __future__ import annotations

from pathlib import Path

from tests.support.deployment import Deployment
from tests.support.tools import require_program


def test_everything_runs_without_rights(tmp_path: Path) -> None:
    """As an ordinary user would, also where the tests run as root: nothing that it may do, nothing to gain."""
    setpriv = require_program("setpriv", "util-linux")
    bare = [setpriv, "--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs"]
    deployment = Deployment(tmp_path)
    for process in (deployment.node, deployment.front):
        process._command = [*bare, *process._command]
    with deployment:
        deployment.api().post("", data={"queue_name": "letters"}).raise_for_status()
        for process in (deployment.node, deployment.front):
            status = Path(f"/proc/{process.pid}/status").read_text()
            assert "CapEff:\t0000000000000000" in status
        files = [path for path in tmp_path.iterdir() if path.name.startswith("messages.sqlite3")]
        assert len(files) >= 2
        assert {path.stat().st_mode & 0o077 for path in files} == {0}
