"""The first configuration: one application with a random key, on the store that was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cli.deployment import write_secret
from cli.key import digest_of, make_key

FIRST_KEY_FILE: Final = "first-key"
FIRST_APPLICATION: Final = "demo"

_TEXT: Final = """\
# Queuey's configuration; `queuey check-config` checks it.  Written at the first start, yours from now on.
# Paths are relative to this file.

[api]
bind = "127.0.0.1:5000"
workers = 2

[storage_node]
bind = "tcp://127.0.0.1:5570"

[store]
{store}

# One table an application.  `queuey key` makes a key and the digest to put here; several digests make a list.
[applications.{application}]
key_sha256 = "{digest}"  # of the key in {key_file}
guarantee = "at_least_once"  # or at_most_once, exactly_once
"""

_STORES: Final = {
    "sqlite": 'backend = "sqlite"\npath = "queuey.sqlite3"',
    "cassandra": 'backend = "cassandra"\nhosts = ["127.0.0.1"]\nkeyspace = "queuey"\nlocal_dc = "dc1"',
}


def write_first_configuration(file: Path, store: str) -> None:
    """Write the configuration, and the key beside it (mode 0600) unless an earlier one is there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    key_file = file.parent / FIRST_KEY_FILE
    if not key_file.exists():
        write_secret(key_file, make_key())
    text = _TEXT.format(
        store=_STORES[store],
        application=FIRST_APPLICATION,
        digest=digest_of(read_key(key_file)),
        key_file=FIRST_KEY_FILE,
    )
    with file.open("x", encoding="utf-8") as opened:
        opened.write(text)


def read_key(file: Path) -> str:
    """Return the key that a file holds."""
    return file.read_text("ascii").strip()
