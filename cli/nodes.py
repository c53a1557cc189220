"""``queuey nodes``: the live storage nodes, asked over the link as a front end asks."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from typing import Final

import msgspec

from api.node_client import NodeClient
from common.link_keys import LinkKeyError, read_curve_secret
from common.protocol.failures import FailureError
from common.protocol.operations import ListMembers, Member, Members
from common.settings import load_settings

NAME: Final = "nodes"
HELP: Final = "List the live storage nodes: address, state, requests in flight and waiting, version, start, key."

_HEADINGS: Final = ("ADDRESS", "STATE", "IN FLIGHT", "WAITING", "VERSION", "STARTED (UTC)", "LINK")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON, one node a line")


def execute(arguments: argparse.Namespace) -> int:
    """Print the nodes; 1 where none answers."""
    settings = load_settings()
    try:
        client = NodeClient(settings.seeds, curve_secret=read_curve_secret(settings.api.curve_secret_file))
        members = _ask(client)
    except (LinkKeyError, FailureError) as error:
        print(f"queuey: no node tells: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        print("\n".join(json.dumps(msgspec.to_builtins(_as_object(member))) for member in members))
    else:
        print(table([_HEADINGS, *map(_row, members)]))
    return 0


def table(rows: list[tuple[str, ...]]) -> str:
    """Return rows in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _ask(client: NodeClient) -> tuple[Member, ...]:
    try:
        answer = client.call(ListMembers())
    finally:
        client.close()
    return answer.members if isinstance(answer, Members) else ()


def _as_object(member: Member) -> dict[str, object]:
    return {name: getattr(member, name) for name in Member.__struct_fields__}


def _row(member: Member) -> tuple[str, ...]:
    started = datetime.fromtimestamp(member.started_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    link = "encrypted" if member.curve_key else "plain"
    counts = (str(member.in_flight), str(member.waiting))
    return (member.address, member.state, *counts, member.version, started, link)
