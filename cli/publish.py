"""``queuey publish``: put messages into a queue."""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import sys
import uuid
from collections.abc import Iterator
from typing import Final

from cli.progress import Progress
from cli.service import Service, add_application, objects_of, queue_path, run_call

NAME: Final = "publish"
HELP: Final = "Publish messages: those given, else standard input as one message, or with --lines one a line."

_BATCH: Final = 100
"""Messages in one request."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_application(parser)
    parser.add_argument("queue")
    parser.add_argument("message", nargs="*", help="texts to publish, one message each")
    parser.add_argument("--lines", action="store_true", help="read one message per line of standard input")
    parser.add_argument("--create", action="store_true", help="make the queue if it is not there")
    parser.add_argument("--ttl", type=int, metavar="SECONDS", help="how long the messages are kept (the queue's)")
    parser.add_argument("--delay", type=float, metavar="SECONDS", help="when they are due, from now (the queue's)")
    parser.add_argument(
        "--partition-key", metavar="TEXT", help="messages with the same key share a partition, in order"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Print the keys of the messages; they are stored when it returns 0."""
    return run_call(lambda: _execute(arguments))


def _execute(arguments: argparse.Namespace) -> int:
    service = Service.named(arguments.application)
    if arguments.create:
        service.call("POST", body=json.dumps({"queue_name": arguments.queue}).encode(), headers=_JSON)
    options = {"ttl": arguments.ttl, "delay": arguments.delay, "partition_key": arguments.partition_key}
    item = {name: value for name, value in options.items() if value is not None}
    bodies = _bodies(arguments)
    progress = Progress("messages")
    while batch := list(itertools.islice(bodies, _BATCH)):
        _publish(service, arguments, [{**item, **_body(body)} for body in batch])
        if arguments.lines:
            progress.add(len(batch))
    if arguments.lines:
        progress.end()
    return 0


def _publish(service: Service, arguments: argparse.Namespace, items: list[dict[str, object]]) -> None:
    headers = {**_JSON, "Idempotency-Key": uuid.uuid4().hex}
    document = json.dumps({"messages": items}).encode()
    answer = service.call("POST", queue_path(arguments.queue), body=document, headers=headers)
    for stored in objects_of(answer["messages"]):
        print(json.dumps(stored) if arguments.json else stored["key"])


def _bodies(arguments: argparse.Namespace) -> Iterator[bytes]:
    if arguments.message:
        return (text.encode("utf-8", "surrogateescape") for text in arguments.message)
    if arguments.lines:
        return (line.rstrip(b"\r\n") for line in sys.stdin.buffer)
    return iter((sys.stdin.buffer.read(),))


def _body(body: bytes) -> dict[str, object]:
    try:
        return {"body": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode("ascii"), "encoding": "base64"}


_JSON: Final = {"Content-Type": "application/json"}
