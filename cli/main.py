"""``queuey``: the command line of operators.  One module a command; each adds its own arguments."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final, Protocol

from cli import (
    backup,
    check_config,
    ctl,
    curve_key,
    exporting,
    importing,
    key,
    link,
    migrate,
    nodes,
    peek,
    publish,
    queues,
    redrive,
    reference,
    restore,
    run,
    seek,
    switch_guarantee,
    tail,
)
from common.settings import BadSettingsError


class Command(Protocol):
    """What a command's module offers."""

    NAME: str
    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def execute(self, arguments: argparse.Namespace) -> int:
        """Do it and return the exit status."""


COMMANDS: Final[tuple[Command, ...]] = (
    run,
    check_config,
    key,
    curve_key,
    link,
    ctl,
    nodes,
    queues,
    tail,
    publish,
    peek,
    seek,
    redrive,
    switch_guarantee,
    migrate,
    backup,
    restore,
    exporting,
    importing,
    reference,
)


def main(words: Sequence[str] | None = None) -> int:
    """Run one command: 0 if it did what it says, 1 if not (standard error tells why), 2 for wrong words."""
    arguments = make_parser().parse_args(words)
    command: Command = arguments.command
    try:
        return command.execute(arguments)
    except BadSettingsError as error:
        print(f"queuey: the configuration can't be used\n{error}", file=sys.stderr)
        return 1


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="queuey",
        description="Operate Queuey. The configuration is the file that QUEUEY_CONFIG names (var/queuey.toml).",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        below = commands.add_parser(command.NAME, help=command.HELP, description=command.HELP)
        command.add_arguments(below)
        below.set_defaults(command=command)
    return parser
