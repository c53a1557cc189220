"""``queuey curve-key``: make the key pair of one side of the link between front ends and storage nodes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Final

import zmq

from cli.deployment import write_secret
from common.link_keys import LinkKeyError, read_curve_secret

NAME: Final = "curve-key"
HELP: Final = (
    "Make a CURVE key pair for the link: the secret goes into a new file (mode 0600), the public key is printed."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", type=Path, help="the file for the secret key; one that is there is never overwritten")
    parser.add_argument("--show", action="store_true", help="print the public key of a file that is there")
    parser.add_argument("--json", action="store_true", help="print JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Print the public key."""
    try:
        public = _public_of(arguments.file) if arguments.show else _make(arguments.file)
    except (LinkKeyError, OSError) as error:
        print(f"queuey: no key: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"public_key": public}) if arguments.json else public)
    return 0


def _make(file: Path) -> str:
    public, secret = zmq.curve_keypair()
    write_secret(file, secret.decode("ascii"))
    return public.decode("ascii")


def _public_of(file: Path) -> str:
    return zmq.curve_public(read_curve_secret(os.fspath(file)).encode()).decode("ascii")
