"""Keys of the link between front ends and storage nodes, as configuration and files hold them.

Each side has a CURVE key pair: the secret is in a file of its own, the public key is 40 characters of Z85 that the
other side is told.  No arithmetic here: what makes and uses keys is beside the sockets.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final, NamedTuple

from common.addresses import problem_of_endpoint

KEY_CHARS: Final = 40
"""Characters of a key in Z85: 32 bytes."""

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_GROUP: Final = re.compile(".{5}")


class LinkKeyError(Exception):
    """A secret key's file holds none; the text names the file and never what is in it."""


class Seed(NamedTuple):
    """A storage node as a front end's configuration names it: ``endpoint`` or ``endpoint key``."""

    address: str
    curve_key: str
    """The node's public key; empty: not encrypted."""


def is_curve_key(text: str) -> bool:
    """Say whether a text has the form of a key."""
    if len(text) != KEY_CHARS or not set(text) <= set(_DIGITS):
        return False
    return all(_value_of(group) < 1 << 32 for group in _GROUP.findall(text))


def _value_of(group: str) -> int:
    value = 0
    for digit in group:
        value = value * len(_DIGITS) + _DIGITS.index(digit)
    return value


def parse_seed(text: str) -> Seed:
    """Split ``endpoint key``; what has no key at its end is an endpoint as a whole."""
    address, separator, key = text.rpartition(" ")
    return Seed(address, key) if separator and is_curve_key(key) else Seed(text, "")


def problem_of_seed(text: str) -> str | None:
    """Say what is wrong with a seed, or ``None``."""
    seed = parse_seed(text)
    return problem_of_endpoint(seed.address, encrypted=bool(seed.curve_key))


def problem_of_secret_file(file: str) -> str | None:
    """Say why a file can't hold a secret: it can't be read, or others than owner and group may touch it."""
    try:
        mode = os.stat(file).st_mode
    except OSError:
        return f"{file} can't be read"
    if not stat.S_ISREG(mode) or not os.access(file, os.R_OK):
        return f"{file} can't be read"
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        return f"{file} is open to others (mode {stat.S_IMODE(mode):04o}): chmod 600 {file}"
    return None


def read_curve_secret(file: str) -> str:
    """Return the secret key in a file; empty for no file.

    Raises:
        LinkKeyError: there is no key in it.
    """
    if not file:
        return ""
    try:
        text = Path(file).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise LinkKeyError(f"{file} can't be read") from None
    if not is_curve_key(text):
        raise LinkKeyError(f"{file} holds no CURVE key; `queuey curve-key {file}` makes one in a new file")
    return text
