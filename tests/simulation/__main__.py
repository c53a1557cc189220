"""Run seeds: ``python -m tests.simulation --seeds 1..500``; a failing one prints the line that replays it."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.ablations import ABLATIONS
from tests.simulation.run import run_seed


def main() -> int:
    """Return 1 if a seed fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", default="1..200", metavar="A..B", help="the first and the last seed, or one")
    parser.add_argument("--ablation", choices=sorted(ABLATIONS), help="switch one rule off")
    args = parser.parse_args()
    first, _, last = str(args.seeds).partition("..")
    seeds = range(int(first), int(last or first) + 1)
    began_s, failed = time.monotonic(), 0
    for seed in seeds:
        found = ABLATIONS[args.ablation].run(seed) if args.ablation else run_seed(seed)
        if found:
            failed += 1
            more = f" --ablation {args.ablation}" if args.ablation else ""
            print(f"python -m tests.simulation --seeds {seed}{more}  # {'; '.join(sorted(set(found)))}", flush=True)
    print(f"{len(seeds)} seeds, {failed} failed, {time.monotonic() - began_s:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
