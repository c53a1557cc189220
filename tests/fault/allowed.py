"""What a guarantee does not rule out, counted, with the faults that were there when it happened."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from common.guarantees import Guarantee
from tests.fault.history import Inflicted
from tests.fault.judging import Judged
from tests.support.checkers import Delivered, History, Outcome


class Span(NamedTuple):
    """From when to when something came about, in seconds of the run."""

    began_s: float
    ended_s: float


class Allowed(NamedTuple):
    """One thing that may happen, and how often it did."""

    what: str
    spans: tuple[Span, ...]
    of: int


def allowed(judged: Judged) -> list[Allowed]:
    """Count what clients have to be ready for, over all queues of a guarantee."""
    by_guarantee: dict[Guarantee, list[History]] = defaultdict(list)
    for history in judged.histories.values():
        by_guarantee[history.guarantee].append(history)
    least, most = by_guarantee[Guarantee.AT_LEAST_ONCE], by_guarantee[Guarantee.AT_MOST_ONCE]
    once = by_guarantee[Guarantee.EXACTLY_ONCE]
    return [
        _of("at_least_once: delivered again while leased", least, again_while_leased, delivered),
        _of("at_least_once: stored twice without a key", least, stored_twice, stored),
        _of("at_most_once: acknowledged, then lost with a claim's answer", most, lost, acknowledged),
        _of("exactly_once: told `lease_lost`", once, lease_lost, acks),
    ]


def faults_at(span: Span, faults: Sequence[Inflicted]) -> Counter[str]:
    """Return the kinds of the faults that were there at some moment of the span."""
    return Counter({fault.kind for fault in faults if fault.began_s < span.ended_s and fault.ended_s > span.began_s})


def again_while_leased(history: History) -> Iterator[Span]:
    """Deliveries of a message whose lease had not ended, and that nobody had given back or prolonged."""
    by_id: dict[bytes, list[Delivered]] = defaultdict(list)
    for one in history.delivered:
        by_id[one.message_id].append(one)
    for message_id, deliveries in by_id.items():
        deliveries.sort(key=lambda one: one.ended_s)
        for one, other in pairwise(deliveries):
            early = other.receipt != one.receipt and other.ended_s < one.began_s + one.lease_s
            if early and message_id not in history.extended:
                yield Span(one.began_s, other.ended_s)


def stored_twice(history: History) -> Iterator[Span]:
    """Publishes without a key that are there more than once."""
    for one in history.published:
        if not one.keyed and len(history.stored.get(one.body, ())) > 1:
            yield Span(one.began_s, one.ended_s)


def lost(history: History) -> Iterator[Span]:
    """Acknowledged messages that no client ever got; the span is that of the publish."""
    seen = {one.message_id for one in history.delivered}
    for one in history.published:
        if one.outcome is Outcome.OK and one.message_id not in seen:
            yield Span(one.began_s, one.ended_s)


def lease_lost(history: History) -> Iterator[Span]:
    """Acks that came too late."""
    for one in history.acked:
        if one.outcome == "lease_lost":
            yield Span(one.began_s, one.ended_s)


def delivered(history: History) -> int:
    """Messages delivered."""
    return len({one.message_id for one in history.delivered})


def stored(history: History) -> int:
    """Bodies stored."""
    return len(history.stored)


def acknowledged(history: History) -> int:
    """Publishes acknowledged."""
    return sum(one.outcome is Outcome.OK for one in history.published)


def acks(history: History) -> int:
    """Acks answered."""
    return sum(one.outcome not in (Outcome.UNKNOWN, Outcome.FAILED) for one in history.acked)


def _of(
    what: str,
    histories: Sequence[History],
    find: Callable[[History], Iterator[Span]],
    count: Callable[[History], int],
) -> Allowed:
    spans = tuple(span for history in histories for span in find(history))
    return Allowed(what, spans, sum(map(count, histories)))
