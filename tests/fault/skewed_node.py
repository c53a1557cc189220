"""``python -m tests.fault.skewed_node``: a storage node under faketime.

Faketime 0.9.10 hands ``clock_nanosleep`` a moment where Python asks for one of the monotonic clock, and the kernel
refuses it; so sleeping is done by waiting for nothing.  All else is the product as it is.
"""

from __future__ import annotations

import select
import sys
import time
from typing import SupportsIndex


def sleep(seconds: float | SupportsIndex, /) -> None:
    """Do what ``time.sleep`` does."""
    select.select((), (), (), float(seconds))


if __name__ == "__main__":
    time.sleep = sleep
    from storage_node.__main__ import main

    sys.exit(main())
