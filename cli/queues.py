"""``queuey queues``: an application's queues."""

from __future__ import annotations

import argparse
import json
from typing import Final

from cli.nodes import table
from cli.service import Service, add_application, number_of, objects_of, queue_path, run_call

NAME: Final = "queues"
HELP: Final = "List an application's queues with their guarantee and partitions, and if wanted their messages."

_PAGE: Final = 500
_HEADINGS: Final = ("QUEUE", "GUARANTEE", "PARTITIONS", "MESSAGES")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_application(parser)
    parser.add_argument("--count", action="store_true", help="count each queue's messages (slow on long queues)")
    parser.add_argument("--limit", type=int, default=_PAGE, help=f"queues to show at most ({_PAGE})")
    parser.add_argument("--offset", help="the queue to begin with")


def execute(arguments: argparse.Namespace) -> int:
    """Print the queues."""
    return run_call(lambda: _execute(arguments))


def _execute(arguments: argparse.Namespace) -> int:
    service = Service.named(arguments.application)
    query = {"details": "true", "limit": arguments.limit, "offset": arguments.offset}
    answer = service.call("GET", query={**query, "include_count": "true" if arguments.count else None})
    queues = objects_of(answer["queues"])
    if arguments.json:
        for queue in queues:
            print(json.dumps(queue))
        return 0
    rows = [_row(service, queue) for queue in queues]
    print(table([_HEADINGS, *rows]))
    return 0


def _row(service: Service, queue: dict[str, object]) -> tuple[str, ...]:
    name = str(queue["queue_name"])
    guarantee = queue.get("guarantee") or service.call("GET", queue_path(name, "settings"))["guarantee"]
    count = str(number_of(queue["count"])) if "count" in queue else "-"
    return (name, str(guarantee), str(queue["partitions"]), count)
