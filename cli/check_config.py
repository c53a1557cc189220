"""``queuey check-config``: say all that is wrong with a configuration, without starting anything."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Final

from common.conversion import Problem
from common.settings import BadSettingsError, config_file, load_settings

NAME: Final = "check-config"
HELP: Final = "Check the configuration and report all problems together; exit 1 if there are any."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", nargs="?", type=Path, help="the configuration (default: that of QUEUEY_CONFIG)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Print what is wrong, or that nothing is."""
    file = (arguments.file or config_file()).absolute()
    problems = problems_of(file)
    if arguments.json:
        print(json.dumps({"file": str(file), "problems": [problem._asdict() for problem in problems]}))
    else:
        print("\n".join(map(str, problems)) or f"{file} is right")
    return 1 if problems else 0


def problems_of(file: Path) -> tuple[Problem, ...]:
    """Return all that is wrong with a configuration file."""
    try:
        load_settings(file)
    except BadSettingsError as error:
        return error.problems
    return ()
