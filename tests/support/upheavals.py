"""Judging what a run did to its queue: deleted and made again, expired, dead letters brought back, nodes ended."""

from __future__ import annotations

from collections import Counter

from common.guarantees import Guarantee
from common.identifiers import MessageId, id_to_hex
from common.limits import LATE_WINDOW_MS
from tests.support.checkers import Delivered, History, Outcome

CLOCKS_S = 3.0
"""By how much the end of a message's life may seem later to a client: an id ahead, a clock behind."""
HANDED_OVER_S = LATE_WINDOW_MS / 2_000 + 0.5
"""Seconds in which the next node may not yet know of the leases that the one that ends writes down."""


def check_upheavals(history: History) -> list[str]:
    """Return the violations, as sentences."""
    found = [*_came_back(history), *_after_its_time(history), *_dead_letters(history)]
    if history.calm and history.sought_s is None and history.guarantee is Guarantee.AT_LEAST_ONCE:
        found += _leases_lost(history)
    return sorted(set(found))


def _leases_lost(history: History) -> list[str]:
    """Nothing is handed out while another has it, though the node that leased it has ended since."""
    began_s, written_s = history.retired_s

    def is_between(delivered: Delivered) -> bool:
        return began_s < delivered.ended_s < written_s + HANDED_OVER_S

    return [
        "handed out while it was leased"
        for one in history.delivered
        for other in history.delivered
        if one.message_id == other.message_id
        and one.message_id not in history.extended
        and one.ended_s < other.began_s
        and other.ended_s < one.began_s + one.lease_s
        and not (is_between(one) or is_between(other))
    ]


def _came_back(history: History) -> list[str]:
    """What was acknowledged before its queue was deleted is not in the queue of the same name."""
    if history.recreated_s is None:
        return []
    sent_s, answered_s = history.recreated_s
    old = {p.message_id for p in history.published if p.outcome is Outcome.OK and p.ended_s < sent_s}
    return [
        "delivered from a deleted queue"
        for one in history.delivered
        if one.began_s > answered_s and one.message_id in old
    ]


def _after_its_time(history: History) -> list[str]:
    """What has expired is not handed out."""
    ends_s = {
        p.message_id: p.ended_s + p.ttl_s + CLOCKS_S
        for p in history.published
        if p.ttl_s and not p.due_s and p.outcome is Outcome.OK
    }
    late = [one for one in history.delivered if one.began_s > ends_s.get(one.message_id, one.began_s)]
    return ["delivered after its time" for _ in late]


def _dead_letters(history: History) -> list[str]:
    """One dead letter per message that failed; where all were brought back, one more message for each of them."""
    sources = Counter(source for source, _ in history.dead_letters)
    found = ["buried twice" for count in sources.values() if count > 1]
    if not history.all_redriven:
        return found
    copies = Counter(body for _, body in history.dead_letters)
    known = {id_to_hex(MessageId(one.message_id)) for one in history.delivered} | sources.keys()
    for body, count in copies.items():
        stored = history.stored.get(body, [])
        published = [p for p in history.published if p.body == body and p.outcome is Outcome.OK]
        stays = published and not any(one.ttl_s for one in published)
        if stays and len(stored) < 1 + count:
            found.append("a dead letter was lost on its way back")
        if history.guarantee is Guarantee.EXACTLY_ONCE and len(stored) > 1 + count:
            found.append("a dead letter was brought back twice")
        owed = all(one.began_s >= history.from_s for one in history.published if one.body == body)
        once = history.guarantee is Guarantee.EXACTLY_ONCE  # else there may be copies that nobody acknowledged
        if owed and once and any(id_to_hex(MessageId(message_id)) not in known for _, message_id in stored):
            found.append("brought back, never delivered")
    return found
