"""``queuey key``: make an application key, and the digest of it that the configuration holds."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import secrets
import sys
from typing import Final

from common.limits import APPLICATION_KEY_CHARS_MAX

NAME: Final = "key"
HELP: Final = "Make an application key and its digest; the key is shown once and kept nowhere."

_KEY: Final = re.compile(rf"[!-~]{{1,{APPLICATION_KEY_CHARS_MAX}}}")
_RANDOM_BYTES: Final = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--stdin", action="store_true", help="digest an existing key, read from standard input")
    parser.add_argument("--json", action="store_true", help="print JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Print a key and its digest."""
    key = sys.stdin.readline().rstrip("\r\n") if arguments.stdin else make_key()
    if not _KEY.fullmatch(key):
        print(f"queuey: a key is 1-{APPLICATION_KEY_CHARS_MAX} visible ASCII characters", file=sys.stderr)
        return 1
    shown = {"key_sha256": digest_of(key)} if arguments.stdin else {"key": key, "key_sha256": digest_of(key)}
    print(json.dumps(shown) if arguments.json else "\n".join(f'{name} = "{text}"' for name, text in shown.items()))
    return 0


def make_key() -> str:
    """Return a new key of 256 random bits, safe in URLs, headers and shells."""
    return secrets.token_urlsafe(_RANDOM_BYTES)


def digest_of(key: str) -> str:
    """Return what the configuration holds of a key."""
    return hashlib.sha256(key.encode("ascii")).hexdigest()
