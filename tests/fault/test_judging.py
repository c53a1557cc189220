"""The judges are judged: hand-made histories, line by line as clients write them, each with one thing wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from common.identifiers import id_to_hex, make_id
from tests.fault.history import Call, Inflicted, Line, Phase, Queue, Recorder, Run
from tests.fault.judging import judge
from tests.fault.report import markdown, violations
from tests.support.checkers import Outcome

Calls = list[Call]
QUEUES = (Queue("once", "o", 1), Queue("least", "l", 1), Queue("least", "s", 1, strict=True), Queue("most", "m", 1))
GUARANTEES = {"once": "exactly_once", "least": "at_least_once", "most": "at_most_once"}


def key(number: int) -> str:
    return id_to_hex(make_id(1_000_000 + number, b"\x80" + bytes(7)))


def call(kind: str, at_s: float, sent: dict[str, Any], answer: dict[str, Any], *, queue: str = "once/o") -> Call:
    return Call(kind, "client", queue, at_s, at_s + 0.1, Outcome.OK, 200, "", sent, answer)


def publish(number: int, at_s: float, *, queue: str = "once/o", partition: int = 1, **more: Any) -> Call:
    answer = {"messages": [{"key": key(number), "partition": partition}]}
    return call("publish", at_s, {"bodies": [f"b{number}"], **more}, answer, queue=queue)


def claim(
    numbers: list[int], at_s: float, *, queue: str = "once/o", delivery: int = 1, claim_number: int = 1
) -> Call:
    leased = not queue.startswith("most")
    claims = [
        {
            "message_id": key(number),
            "partition": 1,
            "body": f"b{number}",
            "deliveries": delivery,
            "receipt": f"r{number}.{delivery}" if leased else None,
        }
        for number in numbers
    ]
    sent = {"limit": 5, "lease": 5, "number": claim_number}
    return call("claim", at_s, sent, {"claims": claims}, queue=queue)


def ack(numbers: list[int], at_s: float, *, queue: str = "once/o", delivery: int = 1, outcome: str = "acked") -> Call:
    receipts = [f"r{number}.{delivery}" for number in numbers]
    results = [{"receipt": receipt, "outcome": outcome} for receipt in receipts]
    return call("ack", at_s, {"receipts": receipts}, {"results": results}, queue=queue)


def read(numbers: list[int], at_s: float, *, told: int, queue: str = "once/o", after: int | None = None) -> Call:
    messages = [{"message_id": key(number), "partition": 1, "body": f"b{number}"} for number in numbers]
    sent: dict[str, Any] = {"partitions": 1, "limit": 1000} | ({"after": key(after)} if after else {})
    return call("read", at_s, sent, {"messages": messages, "complete_until": {"1": key(told)}}, queue=queue)


def stored(numbers: list[int], *, queue: str = "once/o", bodies: dict[int, str] | None = None) -> Call:
    messages = [
        {"message_id": key(number), "partition": 1, "body": (bodies or {}).get(number, f"b{number}")}
        for number in numbers
    ]
    return call("stored", 90.0, {}, {"messages": messages}, queue=queue)


def good(queue: str = "once/o") -> Calls:
    """Return a queue's calls of two messages in which all is well."""
    calls = [publish(1, 1, queue=queue), publish(2, 2, queue=queue), claim([1, 2], 3, queue=queue)]
    if not queue.startswith("most"):
        calls.append(ack([1, 2], 4, queue=queue))
    return [*calls, read([1, 2], 5, told=2, queue=queue), stored([1, 2], queue=queue)]


def violations_of(tmp_path: Path, calls: Calls, *faults: Inflicted, drained: bool = True) -> list[str]:
    recorder = Recorder(tmp_path / "history.jsonl")
    recorder.add(Run(1, 60.0, "abc", GUARANTEES, QUEUES))
    lines: list[Line] = [*calls, *faults]
    for one in lines:
        recorder.add(one)
    recorder.add(Phase("ended", 60.0))
    if drained:
        recorder.add(Phase("drained", 99.0))
    recorder.close()
    judged = judge(recorder.file)
    assert markdown(judged).startswith("# Faults, seed 1")
    return violations(judged)


@pytest.mark.parametrize("queue", ["once/o", "least/l", "least/s", "most/m"])
def test_a_good_history_is_left_alone(tmp_path: Path, queue: str) -> None:
    """No checker cries without a reason."""
    assert violations_of(tmp_path, good(queue)) == []


def replaced(queue: str, **by_kind: Call | None) -> Calls:
    """Return the good calls with those of some kinds replaced by one, or left out."""
    kept = [one for one in good(queue) if one.kind not in by_kind]
    return [*kept, *(one for one in by_kind.values() if one is not None)]


def failed(one: Call, *, code: str = "overloaded", outcome: Outcome = Outcome.FAILED) -> Call:
    return msgspec.structs.replace(one, outcome=outcome, status=503, code=code, answer={})


BAD: dict[str, tuple[str, Calls]] = {
    "lost from the log": (
        "once/o: acknowledged, not stored where it was said",
        replaced("once/o", stored=stored([2])),
    ),
    "lost from a log at most once": (
        "most/m: acknowledged, not stored where it was said",
        replaced("most/m", stored=stored([1], queue="most/m")),
    ),
    "never delivered": (
        "least/l: acknowledged, never delivered",
        replaced("least/l", claim=claim([1], 3, queue="least/l"), ack=ack([1], 4, queue="least/l")),
    ),
    "never delivered though every claim was answered": (
        "most/m: acknowledged, never delivered",
        replaced("most/m", claim=claim([1], 3, queue="most/m")),
    ),
    "duplicated in the log": (
        "once/o: stored twice",
        replaced("once/o", stored=stored([1, 2, 3], bodies={3: "b1"})),
    ),
    "duplicated in spite of its key": (
        "least/l: stored twice under one key",
        replaced(
            "least/l",
            publish=publish(1, 1, queue="least/l", key="b1"),
            stored=stored([1, 2], queue="least/l", bodies={2: "b1"}),
        ),
    ),
    "duplicated in delivery": (
        "most/m: delivered twice",
        [*good("most/m"), claim([1], 9, queue="most/m", claim_number=2)],
    ),
    "reordered": (
        "once/o: reordered",
        [publish(3, 0.5), *good(), claim([3], 6, claim_number=2), ack([3], 7), stored([1, 2, 3])],
    ),
    "out of order": (
        "least/s: out of order",
        [
            *replaced("least/s", claim=claim([2], 3, queue="least/s"), ack=ack([2], 4, queue="least/s")),
            claim([1], 8, queue="least/s", claim_number=2),
            ack([1], 9, queue="least/s"),
        ],
    ),
    "two claims at once": (
        "least/s: two claims at once",
        [
            *replaced("least/s", claim=claim([1], 3, queue="least/s"), ack=ack([1], 7, queue="least/s")),
            claim([2], 4, queue="least/s", claim_number=2),
            ack([2], 8, queue="least/s"),
        ],
    ),
    "phantom": ("once/o: stored, never published", replaced("once/o", stored=stored([1, 2, 9]))),
    "failed, and there all the same": (
        "once/o: failed, yet stored",
        [*replaced("once/o", stored=stored([1, 2, 9])), failed(publish(9, 6))],
    ),
    "settled twice": (
        "once/o: two acks told acked",
        [
            *replaced("once/o", ack=ack([1, 2], 20)),
            claim([1], 15, delivery=2, claim_number=2),
            ack([1], 21, delivery=2),
        ],
    ),
    "told two things about one ack": (
        "once/o: two answers to one ack",
        [*good(), ack([1], 9, outcome="lease_lost")],
    ),
    "leased twice at once": (
        "once/o: leased twice at once",
        [*replaced("once/o", ack=ack([2], 4)), claim([1], 5, delivery=2, claim_number=2), ack([1], 6, delivery=2)],
    ),
    "delivered after it was settled": (
        "once/o: delivered after it was settled",
        [*good(), claim([1], 30, delivery=2, claim_number=2)],
    ),
    "a reader's gap": ("once/o: complete_until skipped one", replaced("once/o", read=read([2], 5, told=2))),
    "a late message": (
        "once/o: complete_until skipped one",
        [*replaced("once/o", read=read([2], 5, told=2)), read([1, 2], 6, told=2)],
    ),
    "a page out of order": ("the service: a page out of order", replaced("once/o", read=read([2, 1], 5, told=2))),
    "a page with what was not asked for": (
        "the service: a page with what was not asked for",
        [*good(), read([1], 6, told=2, after=1)],
    ),
    "an internal error": (
        "the service: internal answered to publish",
        [*good(), failed(publish(9, 6), code="internal", outcome=Outcome.UNKNOWN)],
    ),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_history_is_found_out(tmp_path: Path, name: str) -> None:
    """The sentence that belongs to it is there."""
    sentence, calls = BAD[name]
    assert sentence in violations_of(tmp_path, calls)


ALLOWED: dict[str, Callable[[], Calls]] = {
    "an unknown publish may be there": lambda: [
        *replaced("once/o", stored=stored([1, 2, 9])),
        failed(publish(9, 6), code="outcome_unknown", outcome=Outcome.UNKNOWN),
        claim([9], 7, claim_number=2),
        ack([9], 8),
    ],
    "or not": lambda: [*good(), failed(publish(9, 6), code="outcome_unknown", outcome=Outcome.UNKNOWN)],
    "a claim that was never answered may have taken it": lambda: [
        *replaced("most/m", claim=claim([1], 3, queue="most/m")),
        failed(claim([], 4, queue="most/m", claim_number=2), code="outcome_unknown", outcome=Outcome.UNKNOWN),
    ],
    "a lease that ended": lambda: [
        *replaced("once/o", ack=ack([2], 4)),
        claim([1], 9, delivery=2, claim_number=2),
        ack([1], 10, delivery=2),
        ack([1], 11, outcome="lease_lost"),
    ],
    "at least once, twice": lambda: [
        *good("least/l"),
        claim([1], 9, queue="least/l", delivery=2, claim_number=2),
        ack([1], 10, queue="least/l", delivery=2),
    ],
}


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_what_a_guarantee_allows_is_no_violation(tmp_path: Path, name: str) -> None:
    """Lost answers and ended leases excuse what they can excuse."""
    assert violations_of(tmp_path, ALLOWED[name]()) == []


def test_what_was_allowed_is_counted(tmp_path: Path) -> None:
    """A second delivery within the lease, beside the fault that was there."""
    again = claim([1], 4.5, queue="least/l", delivery=2, claim_number=2)
    calls = [*replaced("least/l", ack=ack([2], 8, queue="least/l")), again, ack([1], 9, queue="least/l", delivery=2)]
    violations_of(tmp_path, calls, Inflicted("kill -9", "node1", 3.5, 4.0), Inflicted("link cut", "", 20.0, 21.0))
    page = markdown(judge(tmp_path / "history.jsonl"))
    assert "| at_least_once: delivered again while leased | 1 | 2 | kill -9 1 |" in page


def test_a_retried_batch_counts_as_one_publish(tmp_path: Path) -> None:
    """Its first attempt began it; the answer of the last one decides."""
    first = failed(publish(1, 1), code="outcome_unknown", outcome=Outcome.UNKNOWN)
    calls = [first, *good()]
    assert violations_of(tmp_path, calls) == []


def test_a_run_that_was_not_drained_is_judged_by_what_was_seen(tmp_path: Path) -> None:
    """What is owed at the end is not asked for; what was wrong before is."""
    unread = replaced("once/o", stored=None)
    assert violations_of(tmp_path, unread, drained=False) == []
    assert "It ended before it was drained" in markdown(judge(tmp_path / "history.jsonl"))
    gap = replaced("once/o", stored=None, read=read([2], 5, told=2))
    assert violations_of(tmp_path, gap, drained=False) == ["once/o: complete_until skipped one"]


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    """A run that was killed can be judged, too."""
    violations_of(tmp_path, good())
    with (tmp_path / "history.jsonl").open("ab") as file:
        file.write(b'{"type": "call", "kind"')
    assert violations(judge(tmp_path / "history.jsonl")) == []
