"""``queuey seek``: move a consumer group to another place of a queue."""

from __future__ import annotations

import argparse
import json
from typing import Final

from cli.service import Service, add_application, queue_path, run_call

NAME: Final = "seek"
HELP: Final = "Move a consumer group: what lies behind the position counts as settled, the rest comes (again)."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_application(parser)
    parser.add_argument("queue")
    parser.add_argument("position", help="start, end, a time (seconds since 1970) or a message's key")
    parser.add_argument("--group", default="default", help="the consumer group (default)")


def execute(arguments: argparse.Namespace) -> int:
    """Say that it is done; leases of before are lost."""
    return run_call(lambda: _execute(arguments))


def _execute(arguments: argparse.Namespace) -> int:
    service = Service.named(arguments.application)
    path = queue_path(arguments.queue, "groups", arguments.group)
    body = json.dumps({"position": arguments.position}).encode()
    answer = service.call("PUT", path, body=body, headers={"Content-Type": "application/json"})
    print(
        json.dumps(answer) if arguments.json else f"{arguments.group} of {arguments.queue} is at {arguments.position}"
    )
    return 0
