"""Judging a run by its history: one checker per guarantee, and what all of them share.

A history holds what clients saw: every call with when it began and ended and whether it was ok, failed or *unknown*.
A checker returns the violations it finds, as sentences; an empty list says nothing more than that.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict, deque
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice

from common.guarantees import Guarantee
from common.identifiers import MessageId, id_to_hex


class Outcome(StrEnum):
    """What a client knows of its call."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass
class Published:
    """One message and what became of its publish."""

    body: bytes
    began_s: float
    ended_s: float = 0.0
    outcome: Outcome = Outcome.UNKNOWN
    message_id: bytes = b""
    partition: int = 0
    keyed: bool = False
    answers: set[tuple[int, bytes]] = field(default_factory=set)
    """(partition, id) of every attempt that was acknowledged."""
    due_s: float = 0.0
    ttl_s: float = 0.0
    """Seconds it lives; 0: longer than the run."""
    delayed: bool = False


@dataclass
class Delivered:
    """One message in the answer of a claim."""

    began_s: float
    """When the claim was sent; with ``ended_s``, all that a client knows of when it was handed out."""
    ended_s: float
    partition: int
    message_id: bytes
    body: bytes
    receipt: str | None
    delivery: int
    lease_s: float
    claim: int
    """Number of the claim that brought it."""


@dataclass
class Acked:
    """One answer to an ack."""

    began_s: float
    ended_s: float
    receipt: str
    message_id: bytes
    delivery: int
    outcome: str


@dataclass
class Followed:
    """What a reader that follows a partition has seen, and up to where it was told to be complete."""

    partition: int
    seen: set[bytes] = field(default_factory=set)
    complete_until: bytes = b""
    late: set[bytes] = field(default_factory=set)
    """First seen by a read that came after one which had told to be complete beyond it."""
    from_s: float = 0.0
    """When it began anew, after its queue was deleted."""


@dataclass
class History:
    """Everything that clients saw of one queue and group."""

    guarantee: Guarantee
    strict: bool = False
    published: list[Published] = field(default_factory=list)
    delivered: list[Delivered] = field(default_factory=list)
    acked: list[Acked] = field(default_factory=list)
    extended: set[bytes] = field(default_factory=set)
    """Messages whose lease was extended or released by a client."""
    followed: list[Followed] = field(default_factory=list)
    stored: dict[bytes, list[tuple[int, bytes]]] = field(default_factory=dict)
    """Body -> copies in the store at the end."""
    buried: set[bytes] = field(default_factory=set)
    """Bodies in the dead-letter queue."""
    claims_unknown: int = 0
    """Claims whose answer never came."""
    messages_unknown: int = 0
    """Messages that they may have taken at most, where it is known."""
    sought_s: tuple[float, float] | None = None
    """When the group was rewound to the start: (sent, answered)."""
    moved_twice: bool = False
    """The group may have been moved once more, at any time."""
    from_s: float = 0.0
    """Messages published from then on are the group's."""
    recreated_s: tuple[float, float] | None = None
    """When the queue was deleted and made again: (deletion sent, creation answered)."""
    dead_letters: list[tuple[str, bytes]] = field(default_factory=list)
    """(Id at the source, body) of what is in the dead-letter queue, or was."""
    all_redriven: bool = False
    """All dead letters were brought back at the end."""
    calm: bool = False
    """No node was lost but in order: leases held in memory stand, too."""
    retired_s: tuple[float, float] = (float("inf"), float("inf"))
    """When that node began its end, and when its leases were written down."""


def check(history: History) -> list[str]:
    """Return the violations of what the history's guarantee promises."""
    found = [*_complete_reads(history), *_phantoms(history), *_keys(history)]
    found += BY_GUARANTEE[history.guarantee](history)
    if history.strict:
        found += check_order(history)
    return sorted(set(found))


# --- one per guarantee ----------------------------------------------------------------------------------------


def check_at_most_once(history: History) -> list[str]:
    """No message leaves twice; none is missing unless a claim's answer was lost."""
    times: dict[bytes, int] = defaultdict(int)
    for one in history.delivered:
        times[one.message_id] += 1
    found = ["delivered twice" for count in times.values() if count > 1 and not history.moved_twice]
    keyed = {p.body for p in history.published if p.keyed}
    bodies = [body for body, _ in {(one.body, one.message_id) for one in history.delivered}]
    found += ["delivered twice under one key" for body in keyed if bodies.count(body) > 1]
    copies = [p for p in history.published if not p.keyed and len(history.stored.get(p.body, ())) > 1]
    found += ["stored twice without a retry of the client" for _ in copies]
    missing = [p for p in _owed(history) if p.message_id not in times]
    if len(missing) > history.messages_unknown and (history.messages_unknown or not history.claims_unknown):
        found.append("acknowledged, never delivered")
    return found


def check_at_least_once(history: History) -> list[str]:
    """Every acknowledged message is delivered."""
    return [*_never_delivered(history), *_rewind_undone(history)]


def check_exactly_once(history: History) -> list[str]:
    """Stored once, settled by one receipt, every answer true; nothing is handed out twice while leased."""
    return [
        *check_at_least_once(history),
        *_never_acked(history),
        *_stored_twice(history),
        *_two_winners(history),
        *_answers_changed(history),
        *_after_settled(history),
        *_leased_twice(history),
    ]


def check_order(history: History) -> list[str]:
    """One claim at a time, in the order of the log."""
    there_s = {p.message_id: max(p.ended_s, p.due_s) for p in history.published if p.outcome is Outcome.OK}
    settled_s: dict[bytes, list[float]] = defaultdict(list)
    for acked in history.acked:
        settled_s[acked.message_id].append(acked.began_s)
    by_partition: dict[tuple[int, bool], list[Delivered]] = defaultdict(list)
    made_s = {p.message_id: (p.began_s, p.ended_s) for p in history.published}
    deleted_s, again_s = history.recreated_s or (float("inf"), float("inf"))
    for one in history.delivered:
        began_s, ended_s = made_s.get(one.message_id, (one.began_s, one.ended_s))
        if ended_s < deleted_s or began_s >= again_s:  # else it may be of either queue
            by_partition[one.partition, began_s >= again_s].append(one)
    found: list[str] = []
    for delivered in by_partition.values():
        delivered.sort(key=lambda one: one.began_s)
        found += _overtaken(delivered, there_s)
        found += _two_at_once(delivered, settled_s, history.extended)
    return found


def _overtaken(delivered: list[Delivered], there_s: dict[bytes, float]) -> list[str]:
    """A later message went out while an earlier one was there, and that one came only afterwards."""
    found, met = [], set()
    for number, other in enumerate(delivered):
        if other.message_id in met:
            continue
        met.add(other.message_id)
        since_s = there_s.get(other.message_id, other.began_s)
        first = bisect_right(delivered, since_s, hi=number, key=lambda one: one.began_s)
        found += [
            "out of order"
            for one in delivered[first:number]
            if one.message_id > other.message_id and one.ended_s < other.began_s and one.claim != other.claim
        ]
    return found


def _two_at_once(delivered: list[Delivered], settled_s: dict[bytes, list[float]], extended: set[bytes]) -> list[str]:
    """Something was handed out while a lease that nobody gave back or prolonged still ran."""
    found = []
    for number, one in enumerate(delivered):
        free_s = min([one.began_s + one.lease_s, *settled_s[one.message_id]])
        for other in islice(delivered, number + 1, None):
            if other.began_s >= free_s or one.message_id in extended:
                break
            if one.ended_s < other.began_s and other.ended_s < free_s and one.claim != other.claim:
                found.append("two claims at once")
    return found


def check_log(history: History) -> list[str]:
    """What the whole log at the end must say of every publish, whatever the guarantee."""
    known = {p.body: p for p in history.published}
    found = ["stored, never published" for body in history.stored if body not in known]
    for one in history.published:
        copies = history.stored.get(one.body, [])
        if one.outcome is Outcome.FAILED and copies:
            found.append("failed, yet stored")
        if one.outcome is Outcome.OK and (one.partition, one.message_id) not in copies:
            found.append("acknowledged, not stored where it was said")
        if one.keyed and len(copies) > 1:
            found.append("stored twice under one key")
    if history.strict or history.guarantee is Guarantee.EXACTLY_ONCE:
        found += _reordered(history)
    return sorted(set(found))


def _reordered(history: History) -> list[str]:
    """In a fenced log whatever was acknowledged before another publish began has the lower id."""
    by_partition: dict[int, list[Published]] = defaultdict(list)
    for one in history.published:
        if one.outcome is Outcome.OK and not one.delayed:
            by_partition[one.partition].append(one)
    found = []
    for published in by_partition.values():
        done = deque(sorted(published, key=lambda one: one.ended_s))
        highest = b""
        for one in sorted(published, key=lambda one: one.began_s):
            while done and done[0].ended_s < one.began_s:
                highest = max(highest, done.popleft().message_id)
            if one.message_id < highest:
                found.append("reordered")
    return found


BY_GUARANTEE = {
    Guarantee.AT_MOST_ONCE: check_at_most_once,
    Guarantee.AT_LEAST_ONCE: check_at_least_once,
    Guarantee.EXACTLY_ONCE: check_exactly_once,
}


# --- single properties ----------------------------------------------------------------------------------------


def _owed(history: History) -> list[Published]:
    return [
        p
        for p in history.published
        if p.outcome is Outcome.OK
        and p.began_s >= history.from_s
        and p.body not in history.buried
        and _stays(history, p)
    ]


def _stays(history: History, one: Published) -> bool:
    """Is it still there at the end: neither expired nor deleted with its queue?"""
    return not one.ttl_s and (history.recreated_s is None or one.began_s >= history.recreated_s[1])


def _never_delivered(history: History) -> list[str]:
    delivered = {one.body for one in history.delivered}
    return ["acknowledged, never delivered" for p in _owed(history) if p.body not in delivered]


def _never_acked(history: History) -> list[str]:
    won = {one.message_id for one in history.acked if one.outcome in ("acked", "already_acked")}
    # A move to the end whose outcome was not known may be done late, and passes over what had been handed out.
    from_s = history.from_s if history.moved_twice else 0.0
    stays = {p.body for p in history.published if _stays(history, p) and p.began_s >= from_s}
    ids = {one.message_id for one in history.delivered if one.body in stays}
    sources = {source for source, _ in history.dead_letters}
    buried = {
        d.message_id
        for d in history.delivered
        if (id_to_hex(MessageId(d.message_id)) in sources if sources else d.body in history.buried)
    }
    unanswered = {one.message_id for one in history.acked if one.outcome in (Outcome.UNKNOWN, Outcome.FAILED)}
    return ["delivered, never acked" for message_id in ids - won - buried - unanswered]


def _rewind_undone(history: History) -> list[str]:
    if history.sought_s is None:
        return []
    sent_s, answered_s = history.sought_s
    again = {one.body for one in history.delivered if one.ended_s > sent_s}
    before = [p for p in _owed(history) if p.ended_s < sent_s]
    ended = {p.message_id for p in history.published if p.ttl_s}
    late = {one.message_id for one in history.acked if one.outcome == "acked" and one.began_s > answered_s}
    fresh = {one.message_id for one in history.delivered if one.ended_s > sent_s}
    found = ["not delivered again after the rewind" for p in before if p.body not in again]
    return found + ["acked after the rewind without a new delivery" for message_id in late - fresh - ended]


def _stored_twice(history: History) -> list[str]:
    return [
        "stored twice" if len(history.stored.get(p.body, ())) > 1 else "acknowledged, not stored"
        for p in history.published
        if p.body not in history.buried
        and _stays(history, p)
        and (
            (p.outcome is Outcome.OK and len(history.stored.get(p.body, ())) != 1)
            or len(history.stored.get(p.body, ())) > 1
        )
    ]


def _two_winners(history: History) -> list[str]:
    if history.sought_s is not None or history.moved_twice:
        return []
    winners: dict[bytes, set[int]] = defaultdict(set)
    for one in history.acked:
        if one.outcome == "acked":
            winners[one.message_id].add(one.delivery)
    return ["two acks told acked" for deliveries in winners.values() if len(deliveries) > 1]


def _answers_changed(history: History) -> list[str]:
    """Whoever asks again about one receipt is told the same."""
    if history.sought_s is not None or history.moved_twice:
        return []
    gone_s = history.recreated_s[0] if history.recreated_s is not None else float("inf")
    told: dict[str, set[str]] = defaultdict(set)
    for one in history.acked:
        if one.outcome in ("acked", "lease_lost") and one.ended_s < gone_s:
            told[one.receipt].add(one.outcome)
    return ["two answers to one ack" for answers in told.values() if len(answers) > 1]


def _after_settled(history: History) -> list[str]:
    if history.sought_s is not None or history.moved_twice:
        return []
    won = {one.message_id: one.ended_s for one in reversed(history.acked) if one.outcome == "acked"}
    return [
        "delivered after it was settled"
        for one in history.delivered
        if one.message_id in won and one.began_s > won[one.message_id]
    ]


def _settled_times(history: History, one: Delivered) -> list[float]:
    return [acked.began_s for acked in history.acked if acked.message_id == one.message_id]


def _leased_twice(history: History) -> list[str]:
    """A lease made after ``began_s`` lasts ``lease_s`` of the true time at least, unless it was given back."""
    if history.sought_s is not None or history.moved_twice:
        return []
    found = []
    by_id: dict[bytes, list[Delivered]] = defaultdict(list)
    for one in history.delivered:
        by_id[one.message_id].append(one)
    for deliveries in by_id.values():
        for one in deliveries:
            later = [d for d in deliveries if d.delivery > one.delivery and d.receipt != one.receipt]
            if any(d.ended_s < one.began_s + one.lease_s for d in later) and one.message_id not in history.extended:
                found.append("leased twice at once")
    return found


def _complete_reads(history: History) -> list[str]:
    """Nothing acknowledged may stay unseen at or below what a reader was told to be complete."""
    return [
        "complete_until skipped one"
        for followed in history.followed
        for p in history.published
        if p.outcome is Outcome.OK
        and not p.ttl_s
        and (not followed.from_s or _stays(history, p))
        and p.partition == followed.partition
        and p.message_id <= followed.complete_until
        and (p.message_id not in followed.seen or p.message_id in followed.late)
    ]


def _keys(history: History) -> list[str]:
    """A client's key answers with one id for ever, and there is one message under it."""
    keyed = [p for p in history.published if p.keyed and p.body not in history.buried]
    found = ["two ids under one key" for p in keyed if len(p.answers) > 1]
    for p in keyed:
        stored = history.stored.get(p.body, ())
        if len(stored) > 1:
            found.append("stored twice under one key")
        if p.answers and not p.answers <= set(stored):
            found.append("acknowledged under a key, stored under another id")
    return found


def _phantoms(history: History) -> list[str]:
    """What certainly failed must not appear."""
    failed = {p.body for p in history.published if p.outcome is Outcome.FAILED}
    known = {p.body for p in history.published}
    found = ["failed, yet delivered" for one in history.delivered if one.body in failed]
    return found + ["delivered, never published" for one in history.delivered if one.body not in known]
