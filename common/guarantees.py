"""The three delivery guarantees and the two kinds of log they rest on."""

from __future__ import annotations

from enum import StrEnum


class Guarantee(StrEnum):
    """What an application is promised for its queues; fixed in a queue's row when it is created."""

    AT_MOST_ONCE = "at_most_once"
    AT_LEAST_ONCE = "at_least_once"
    EXACTLY_ONCE = "exactly_once"


class LogKind(StrEnum):
    """How appends to a queue's partitions are made safe."""

    PLAIN = "plain"
    FENCED = "fenced"


class Consistency(StrEnum):
    """v1's per-queue level: ``weak`` lowers log reads, ``very_strong`` raises appends to every data centre."""

    WEAK = "weak"
    STRONG = "strong"
    VERY_STRONG = "very_strong"


class QueueType(StrEnum):
    """v1's queue type: a ``public`` queue is readable by everyone."""

    USER = "user"
    PUBLIC = "public"


class Ordering(StrEnum):
    """``strict``: one claim at a time per partition and group, in the order of the log."""

    NONE = "none"
    STRICT = "strict"
