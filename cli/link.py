"""``queuey link``: mint a capability link, offline, with one of an application's link secrets."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

import msgspec

from api.auth.links import BadLinkError, Link, mint_link, new_link_id
from common.clock import SYSTEM_CLOCK, ticks_to_unix_ms
from common.limits import DOCUMENT_BYTES_MAX
from common.settings import load_settings

NAME: Final = "link"
HELP: Final = "Mint a capability link: a token that grants operations on a queue, or on queues, until it ends."

_DAY_S: Final = 86_400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("application", help="the application that grants it")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--queue", help="the one queue that it is for")
    where.add_argument("--prefix", help="the beginning of the names of the queues that it is for; may be empty")
    parser.add_argument("--allow", default="read", help="of read, publish, claim, delete, joined by commas (read)")
    parser.add_argument("--seconds", type=int, default=_DAY_S, help="how long it counts (a day)")
    parser.add_argument("--id", default=None, help="what it is revoked by (random)")
    parser.add_argument("--epoch", type=int, default=0, help="what it is revoked by, with all of before (0)")
    parser.add_argument("--body-bytes", type=int, help="the largest body that it may publish")
    parser.add_argument("--per-minute", type=int, help="requests per minute that it may make")
    parser.add_argument("--secret", help="name of the secret to sign with (the configuration's first)")
    parser.add_argument("--secret-file", type=Path, help="file of that secret; no configuration is read then")
    parser.add_argument("--json", action="store_true", help="print JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Print a link and the id that revokes it."""
    try:
        name, file = _secret(arguments)
        link = _link(arguments)
        with file.open("rb") as opened:
            token = mint_link(link, secret_name=name, secret=opened.read(DOCUMENT_BYTES_MAX))
    except (BadLinkError, ValueError, OSError, msgspec.ValidationError) as error:
        print(f"queuey: no link: {error}", file=sys.stderr)
        return 1
    shown = {"link": token, "link_id": link.link_id}
    print(json.dumps(shown) if arguments.json else "\n".join(f'{name} = "{text}"' for name, text in shown.items()))
    return 0


def _link(arguments: argparse.Namespace) -> Link:
    return msgspec.convert(
        {
            "app": arguments.application,
            "id": arguments.id or new_link_id(),
            "epoch": arguments.epoch,
            "ops": arguments.allow.split(","),
            "queue": arguments.queue,
            "prefix": arguments.prefix,
            "exp": ticks_to_unix_ms(SYSTEM_CLOCK.now_ticks()) // 1000 + arguments.seconds,
            "body_bytes": arguments.body_bytes,
            "per_minute": arguments.per_minute,
        },
        type=Link,
    )


def _secret(arguments: argparse.Namespace) -> tuple[str, Path]:
    """Return name and file of the secret: the one given, or one of the application's in the configuration."""
    if arguments.secret_file is not None:
        if arguments.secret is None:
            raise BadLinkError("--secret-file needs --secret, the name that the configuration gives it")
        return arguments.secret, arguments.secret_file
    settings = load_settings().applications.get(arguments.application)
    named = settings.link_secrets if settings is not None else {}
    name = arguments.secret or next(iter(named), None)
    if name is None or name not in named:
        raise BadLinkError(f"the configuration has no such link secret for {arguments.application!r}")
    return name, Path(named[name])
