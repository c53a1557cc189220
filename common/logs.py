"""Logs of both kinds of process: one JSON object per line on stderr.

What is logged are names, numbers and outcomes; never a key, a token, a receipt or a message's body.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec
import structlog

from common.clock import Clock, ticks_to_unix_ms

REPEAT_S_MIN: Final = 1.0
"""Seconds between two log lines about something that anyone outside can cause as often as they like."""


def configure_logs(process: str) -> None:
    """Send every log line of this process to stderr as JSON, those of libraries included (from WARNING on)."""
    chain: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*chain, _name_process(process), structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=chain,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _name_process(process),
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


Defer = Callable[[Callable[[], None]], object]


class LineWriter:
    """Writes the line of each request: the same form as all others, at a fifth of their cost."""

    def __init__(self, process: str, clock: Clock, *, defer: Defer | None = None) -> None:
        """``defer`` calls a function at the end of a turn of an event loop: its lines are written together."""
        self._process = process
        self._clock = clock
        self._defer = defer
        self._held: list[bytes] = []
        self._encoder = msgspec.json.Encoder()
        self._second = 0
        self._second_text = ""

    def write(self, **fields: str | float) -> None:
        """Write one line at level ``info``; ``event`` is among the fields."""
        line = self._encoder.encode(
            {**fields, "level": "info", "timestamp": self._timestamp(), "process": self._process}
        )
        self._held.append(line)
        if self._defer is None:
            self._flush()
        elif len(self._held) == 1:
            self._defer(self._flush)

    def _flush(self) -> None:
        lines, self._held = self._held, []
        sys.stderr.write(b"\n".join(lines).decode() + "\n")
        sys.stderr.flush()

    def _timestamp(self) -> str:
        second, ms = divmod(ticks_to_unix_ms(self._clock.now_ticks()), 1_000)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._second_text}.{ms:03d}Z"


class Throttle:
    """Lets one line through per ``REPEAT_S_MIN`` and counts what it held back."""

    def __init__(self) -> None:
        self._next_s = 0.0
        self._held = 0

    def admit(self, now_s: float) -> int | None:
        """Return how many were held back since the last line, or ``None`` if this one is held back as well."""
        if now_s < self._next_s:
            self._held += 1
            return None
        held, self._held = self._held, 0
        self._next_s = now_s + REPEAT_S_MIN
        return held


def _name_process(process: str) -> structlog.typing.Processor:
    def add(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["process"] = process
        return event

    return add
