"""``queuey peek``: look at messages without claiming them."""

from __future__ import annotations

import argparse
import base64
import json
import sys
from typing import Final

from cli.service import Service, add_application, objects_of, queue_path, run_call

NAME: Final = "peek"
HELP: Final = "Show messages of a queue without claiming them: nothing changes."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_application(parser)
    parser.add_argument("queue")
    parser.add_argument("--limit", type=int, default=10, help="messages of each partition at most (10)")
    parser.add_argument("--since", help="a time (seconds since 1970) or a message's key to begin with")
    parser.add_argument("--newest", action="store_true", help="begin with the newest")
    parser.add_argument("--partitions", help="numbers joined by commas (all)")


def execute(arguments: argparse.Namespace) -> int:
    """Print the messages."""
    return run_call(lambda: _execute(arguments))


def _execute(arguments: argparse.Namespace) -> int:
    service = Service.named(arguments.application)
    query = {
        "limit": arguments.limit,
        "since": arguments.since,
        "order": "descending" if arguments.newest else None,
        "partitions": arguments.partitions or "all",
    }
    answer = service.call("GET", queue_path(arguments.queue), query=query)
    for message in objects_of(answer["messages"]):
        show_message(message, as_json=arguments.json)
    return 0


def show_message(message: dict[str, object], *, as_json: bool) -> None:
    """Print one message: a JSON line, or its key and its body as it is."""
    if as_json:
        print(json.dumps(message), flush=True)
        return
    body = str(message["body"])
    data = base64.b64decode(body) if message.get("encoding") == "base64" else body.encode("utf-8", "surrogatepass")
    sys.stdout.flush()
    sys.stdout.buffer.write(f"{message['message_id']}/{message['partition']} ".encode() + data + b"\n")
    sys.stdout.buffer.flush()
