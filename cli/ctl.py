"""``queuey ctl``: supervisorctl of this configuration's run, with the right socket and password.

The storage nodes that the configuration asks for now are written down first, so that ``update`` finds them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import Final

from cli.deployment import Deployment

NAME: Final = "ctl"
HELP: Final = "Talk to the running deployment through supervisorctl, such as: queuey ctl status"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("words", nargs=argparse.REMAINDER, help="supervisorctl's own words; none: interactive")


def execute(arguments: argparse.Namespace) -> int:
    """Return what supervisorctl returns."""
    deployment = Deployment.of_environment()
    if not deployment.control_file.exists():
        print(f"queuey: nothing was ever started in {deployment.run_dir}", file=sys.stderr)
        return 1
    deployment.write_programs()
    command = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(deployment.supervisor_file)]
    environment = deployment.environment(deployment.control_password())
    return subprocess.run([*command, *arguments.words], env=environment, check=False).returncode
