"""``queuey tail``: follow a queue as messages arrive."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from typing import Final

from cli.peek import show_message
from cli.service import Service, add_application, objects_of, queue_path, run_call
from common.clock import SYSTEM_CLOCK, ticks_to_unix_ms

NAME: Final = "tail"
HELP: Final = "Follow a queue: show messages as they arrive, without claiming them, until Ctrl-C."

_WAIT_S: Final = 30
_PAGE: Final = 100
SEEN_MAX: Final = 20_000
"""Messages remembered; those of a late window are fewer wherever somebody can still read along."""

Key = tuple[object, object]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_application(parser)
    parser.add_argument("queue")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--since", help="a time (seconds since 1970) or a message's key to begin with (now)")
    begin.add_argument("--from-start", action="store_true", help="begin with the oldest message")
    parser.add_argument("--count", type=int, default=0, help="end after so many messages (never)")


def execute(arguments: argparse.Namespace) -> int:
    """Print messages until told to stop."""
    return run_call(lambda: _execute(arguments))


def _execute(arguments: argparse.Namespace) -> int:
    service = Service.named(arguments.application)
    place: dict[str, object] = {
        "partitions": "all",
        "since": None if arguments.from_start else arguments.since or _now(),
    }
    shown = 0
    seen: dict[Key, None] = {}
    while not arguments.count or shown < arguments.count:
        page = service.call("GET", queue_path(arguments.queue), query={**place, "wait": _WAIT_S, "limit": _PAGE})
        for message in unseen(objects_of(page["messages"]), seen):
            show_message(message, as_json=arguments.json)
            shown += 1
            if shown == arguments.count:
                return 0
        place = {"cursor": page["next"]}
    return 0


def unseen(messages: Iterable[dict[str, object]], seen: dict[Key, None]) -> Iterator[dict[str, object]]:
    """Yield what was not seen before and remember it: a plain log repeats what was not complete yet."""
    for message in messages:
        key = (message["partition"], message["message_id"])
        if key in seen:
            continue
        seen[key] = None
        if len(seen) > SEEN_MAX:
            del seen[next(iter(seen))]
        yield message


def _now() -> str:
    return f"{ticks_to_unix_ms(SYSTEM_CLOCK.now_ticks()) / 1000:.3f}"
