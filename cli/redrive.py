"""``queuey redrive``: move dead letters back to where they came from."""

from __future__ import annotations

import argparse
import json
from typing import Final

from cli.progress import Progress
from cli.service import Service, add_application, number_of, queue_path, run_call

NAME: Final = "redrive"
HELP: Final = "Move the messages of a dead-letter queue back to the queues that they came from."

_STEP: Final = 100
"""Messages in one request."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_application(parser)
    parser.add_argument("queue", help="the dead-letter queue")
    parser.add_argument("--limit", type=int, default=0, help="messages at most (all that are there)")


def execute(arguments: argparse.Namespace) -> int:
    """Print how many went back, and how many are left."""
    return run_call(lambda: _execute(arguments))


def _execute(arguments: argparse.Namespace) -> int:
    service = Service.named(arguments.application)
    progress = Progress("dead letters")
    while True:
        step = min(_STEP, arguments.limit - progress.done) if arguments.limit else _STEP
        moved, remaining = _step(service, arguments.queue, step)
        progress.set(progress.done + moved, progress.done + moved + remaining)
        if not moved or not remaining or progress.done == arguments.limit:
            break
    progress.end()
    shown = {"redriven": progress.done, "remaining": remaining}
    print(json.dumps(shown) if arguments.json else f"{progress.done} went back, {remaining} are left")
    return 0


def _step(service: Service, queue: str, limit: int) -> tuple[int, int]:
    body = json.dumps({"limit": limit}).encode()
    headers = {"Content-Type": "application/json"}
    answer = service.call("POST", queue_path(queue, "redrive"), body=body, headers=headers)
    return number_of(answer["redriven"]), number_of(answer["remaining"])
