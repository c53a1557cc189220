"""Files that describe a deployment name what is there, and nothing runs with more rights than it needs."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import COMMANDS
from common.limits import DRAIN_MS_MAX, REQUEST_DEADLINE_MS
from tests.support.tools import require_program

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())
CONTAINERFILE = (ROOT / "deploy" / "Containerfile").read_text()
RUNBOOK = (ROOT / "deploy" / "README.md").read_text()


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """Verified as a whole, with this checkout in the place of the installed one."""
    program = require_program("systemd-analyze", "systemd")
    for unit in UNITS:
        text = (
            unit.read_text().replace("/opt/queuey/.venv/bin/python", sys.executable).replace("/opt/queuey", str(ROOT))
        )
        (tmp_path / unit.name.replace("@", "@0")).write_text(text.replace("%i", "0"))
    files = sorted(map(str, tmp_path.iterdir()))
    ended = subprocess.run([program, "verify", "--man=no", *files], capture_output=True, text=True, check=False)
    own = [line for line in ended.stderr.splitlines() if "queuey" in line]
    assert (ended.returncode, own) == (0, []), ended.stderr


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".service"], ids=lambda unit: unit.name)
def test_services_have_an_ordinary_user_and_time_to_end(unit: Path) -> None:
    """No rights to gain, and longer than what a stop may take."""
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(unit.read_text())
    service = parser["Service"]
    assert service["User"] == "queuey"
    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    needed_ms = DRAIN_MS_MAX if "node" in unit.name else REQUEST_DEADLINE_MS
    assert int(service["TimeoutStopSec"]) * 1000 > needed_ms


def test_the_container_copies_what_is_there() -> None:
    """Each path exists, and every package of the product is among them."""
    copied = [path for line in re.findall(r"^COPY (?!--from)(.*) \S+$", CONTAINERFILE, re.M) for path in line.split()]
    assert [path for path in copied if not (ROOT / path).exists()] == []
    assert {"api", "cli", "common", "storage_node", "requirements.lock", "supervisord.conf"} <= set(copied)


def test_the_container_is_built_from_the_lock_and_runs_as_nobody_special() -> None:
    """By hash, as a user of its own, ended by the signal that drains."""
    assert CONTAINERFILE.count("--require-hashes -r") == 2
    assert re.search(r"^USER queuey$", CONTAINERFILE, re.M)
    assert re.search(r"^STOPSIGNAL SIGTERM$", CONTAINERFILE, re.M)
    instructions = re.sub(r"\\\n", " ", CONTAINERFILE).splitlines()
    known = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "VOLUME", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
    assert {line.split()[0] for line in instructions if line and not line.startswith("#")} == known


def test_the_control_socket_is_a_file_with_a_password() -> None:
    """Nothing of supervisord listens on a port."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    parser.read(ROOT / "supervisord.conf")
    assert "inet_http_server" not in parser
    assert parser["unix_http_server"]["chmod"] == "0600"
    assert parser["unix_http_server"]["password"]


def test_the_runbook_names_commands_that_are_there() -> None:
    """Every ``queuey WORD`` in it."""
    named = set(re.findall(r"queuey ([a-z][a-z-]+)", "\n".join(re.findall(r"`[^`]*`|```.*?```", RUNBOOK, re.S))))
    assert named - {command.NAME for command in COMMANDS} - {"queuey"} <= {"storage", "podman", "and", "on"}
    assert {"ctl", "nodes", "backup", "restore", "export", "import", "switch-guarantee", "migrate"} <= named
