"""Which process made a TCP connection, so that one proxy address can tell its callers apart.

The kernel tells the inode of a connection's socket, and which process holds it; only the processes that may have made
it are looked through.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

_TABLE = Path("/proc/net/tcp")


def owner_of(address: tuple[str, int], callers: Collection[int]) -> int | None:
    """Return which of the processes holds the socket that is bound to ``address``, itself or by a child."""
    inode = _inode_of(address)
    if inode is None:
        return None
    wanted = f"socket:[{inode}]"
    return next((caller for caller in callers if any(_holds(pid, wanted) for pid in _family(caller, callers))), None)


def _inode_of(address: tuple[str, int]) -> str | None:
    host = "".join(f"{int(part):02X}" for part in reversed(address[0].split(".")))
    wanted = f": {host}:{address[1]:04X} "
    for line in _TABLE.read_text().splitlines():
        if wanted in line and (inode := line.split()[9]) != "0":
            return inode
    return None


def _family(pid: int, callers: Collection[int]) -> Iterator[int]:
    """Return a process and those below it that are no callers themselves."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        if child not in callers:
            yield from _family(child, callers)


def _holds(pid: int, wanted: str) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        return any(_link_of(f"{folder}/{name}") == wanted for name in os.listdir(folder))
    except OSError:
        return False


def _link_of(entry: str) -> str:
    try:
        return os.readlink(entry)
    except OSError:
        return ""
