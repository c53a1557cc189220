"""Where the processes of one configuration live, and what they are told: the environment of supervisord.conf."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from common.settings import CONFIG_VARIABLE, Settings, config_file, load_settings, run_dir

RUN_DIR_VARIABLE = "QUEUEY_RUN_DIR"
PASSWORD_VARIABLE = "QUEUEY_CONTROL_PASSWORD"  # noqa: S105 (a name, no password)


class RunError(Exception):
    """The deployment can't be started or went down; the text says why."""


class Deployment:
    """One configuration file and its run directory.

    Raises:
        BadSettingsError: the configuration can't be used.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.settings: Settings = load_settings(file)
        self.run_dir = run_dir(file)
        self.programs_file = self.run_dir / "storage_nodes.conf"
        self.control_file = self.run_dir / "control-password"
        self.supervisor_file = Path(__file__).resolve().parent.parent / "supervisord.conf"

    @classmethod
    def of_environment(cls) -> Deployment:
        """Return the deployment of the configuration that ``QUEUEY_CONFIG`` names."""
        return cls(config_file())

    def prepare(self) -> None:
        """Make the run directory and the control password, and remove what a killed run left behind.

        Only for the holder of the run's lock: nothing of an earlier run may be alive.
        """
        self.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        for stale in self._stale_files():
            stale.unlink(missing_ok=True)
        if not self.control_file.exists():
            write_secret(self.control_file, secrets.token_urlsafe(32))
        self.write_programs()

    def write_programs(self) -> None:
        """Write the storage nodes' programs, as many as the configuration says now."""
        project = self.supervisor_file.parent
        program = (project / "deploy" / "storage_node.conf").read_text("ascii").replace("PROJECT", str(project))
        numbers = range(self.settings.storage_node.processes)
        fresh = self.programs_file.with_suffix(".new")
        fresh.write_text("\n".join(program.replace("NUMBER", str(number)) for number in numbers), "ascii")
        fresh.replace(self.programs_file)

    def control_password(self) -> str:
        """Return the password of the control socket."""
        return self.control_file.read_text("ascii").strip()

    def environment(self, password: str) -> dict[str, str]:
        """Return what supervisord.conf refers to, on top of this process's own environment."""
        return {
            **os.environ,
            CONFIG_VARIABLE: str(self.file),
            RUN_DIR_VARIABLE: str(self.run_dir),
            PASSWORD_VARIABLE: password,
            "QUEUEY_PYTHON": sys.executable,
        }

    def _stale_files(self) -> Iterator[Path]:
        for pattern in ("*.sock*", "*.pid"):
            yield from self.run_dir.glob(pattern)


def supervisord_digest(password: str) -> str:
    """Return what supervisord itself is told of the password: enough to check it, not to use it."""
    return "{SHA}" + hashlib.sha1(password.encode("ascii"), usedforsecurity=False).hexdigest()


def write_secret(file: Path, text: str) -> None:
    """Write a new file that its owner alone may read.

    Raises:
        FileExistsError: it is there.
    """
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as opened:
        opened.write(text + "\n")
