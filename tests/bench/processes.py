"""What processes use, from /proc."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(word) for word in task.read_text().split()]
    return found


def cpu_s(pid: int) -> float:
    """Return the CPU seconds, user and system, of a process and all below it."""
    seconds = 0.0
    for each in tree(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        seconds += (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    return seconds


def resident_bytes(pid: int) -> int:
    """Return the private resident memory of a process and all below it (pages of mapped files don't count)."""
    total = 0
    for each in tree(pid):
        for line in Path(f"/proc/{each}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                total += int(line.split()[1]) * 1024
    return total


def resident_total_bytes(pid: int) -> int:
    """Return the whole resident memory of a process and all below it, pages of mapped files included."""
    total = 0
    for each in tree(pid):
        for line in Path(f"/proc/{each}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total


def thread_cpu_s(pid: int) -> dict[tuple[int, str], float]:
    """Return the CPU seconds of each thread of a process, by its number and name, to the nanosecond."""
    return {
        (int(task.name), (task / "comm").read_text().strip()): int((task / "schedstat").read_text().split()[0]) / 1e9
        for task in Path(f"/proc/{pid}/task").iterdir()
    }
