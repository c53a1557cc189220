"""Which process made a TCP connection, so that one proxy address can tell its callers apart.

The kernel tells the inode of a connection's socket, and which process holds it; a process belongs to the session
that its test started it in.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_TABLE = Path("/proc/net/tcp")


def owner_of(address: tuple[str, int], sessions: Iterable[int]) -> int | None:
    """Return the session, of those given, of the process whose socket is bound to ``address``."""
    inode = _inode_of(address)
    if inode is None:
        return None
    wanted = set(sessions)
    for pid in _pids():
        session = _session_of(pid)
        if session in wanted and _holds(pid, inode):
            return session
    return None


def _inode_of(address: tuple[str, int]) -> str | None:
    host = "".join(f"{int(part):02X}" for part in reversed(address[0].split(".")))
    wanted = f"{host}:{address[1]:04X}"
    for line in _TABLE.read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == wanted and fields[9] != "0":
            return fields[9]
    return None


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def _holds(pid: int, inode: str) -> bool:
    folder = Path(f"/proc/{pid}/fd")
    try:
        return any(_link_of(entry) == f"socket:[{inode}]" for entry in folder.iterdir())
    except OSError:
        return False


def _link_of(entry: Path) -> str:
    try:
        return os.readlink(entry)
    except OSError:
        return ""
