"""What holds for every test."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

settings.register_profile("gate", derandomize=True, print_blob=True)
settings.register_profile("explore", print_blob=True)
settings.load_profile("gate" if os.environ.get("CI") else "explore")
"""The gate judges the change at hand, by the same examples each time; new examples are looked for elsewhere."""

signal.signal(signal.SIGINT, signal.default_int_handler)
"""Programs that tests interrupt must not inherit that interrupts are ignored, as in the background of a shell."""
