"""``python -m tests.fault [--seconds 60] [--seed 1] [--keep FILE]``, or ``--check HISTORY`` to judge a run again."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path

from tests.fault.judging import judge
from tests.fault.report import markdown, violations
from tests.fault.running import run
from tests.support.service import ROOT

FAILED_DIR = ROOT / "var" / "faults"


def main() -> int:
    """Run or judge; print the report.  A run that failed, or whose report is kept, leaves its history."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="write the report to this file, too")
    parser.add_argument("--check", type=Path, metavar="HISTORY", help="judge a history instead of running")
    arguments = parser.parse_args()
    history: Path = arguments.check or _run(arguments.seed, arguments.seconds)
    judged = judge(history)
    page = markdown(judged)
    print(page)
    if arguments.keep:
        arguments.keep.write_text(page)
    if violations(judged):
        print(f"To check it again: {sys.executable} -m tests.fault --check {history}", file=sys.stderr)
        return 1
    if not arguments.check and not arguments.keep:
        shutil.rmtree(history.parent)
    return 0


def _run(seed: int, seconds: float) -> Path:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    FAILED_DIR.mkdir(parents=True, exist_ok=True)
    return run(Path(tempfile.mkdtemp(prefix=f"seed-{seed}-", dir=FAILED_DIR)), seed, seconds, stop=stop)


if __name__ == "__main__":
    sys.exit(main())
