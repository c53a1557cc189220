"""From the lines of a history to what each queue's clients saw, and to the violations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple, cast

from common.guarantees import Guarantee
from common.identifiers import LOWEST, id_from_hex
from tests.fault.history import UNFINISHED, Call, Inflicted, Line, Phase, Queue, Run, read_lines
from tests.fault.readers import PAGE, messages_of, next_place
from tests.support.checkers import (
    Acked,
    Delivered,
    Followed,
    History,
    Outcome,
    Published,
    check,
    check_log,
)

NEED_THE_END: Final = (
    "acknowledged, never delivered",
    "acknowledged, not stored",
    "acknowledged, not stored where it was said",
    "delivered, never acked",
)
"""What only a run that was drained and read to its end can show."""


class Judged(NamedTuple):
    """A whole run."""

    run: Run
    calls: list[Call]
    faults: list[Inflicted]
    phases: dict[str, float]
    histories: dict[str, History]
    violations: dict[str, list[str]]
    """Queue -> sentences."""


def judge(file: Path) -> Judged:
    """Read a history and check every queue of it."""
    lines = list(read_lines(file))
    (run,) = [line for line in lines if isinstance(line, Run)]
    calls = [line for line in lines if isinstance(line, Call)]
    faults = [line for line in lines if isinstance(line, Inflicted)]
    phases = {line.name: line.at_s for line in lines if isinstance(line, Phase)}
    histories = histories_of(run, lines)
    violations = {path: [*check(history), *check_log(history)] for path, history in histories.items()}
    if "drained" not in phases:
        violations = {
            path: [each for each in found if each not in NEED_THE_END] for path, found in violations.items()
        }
    internal = sorted({f"{call.code} answered to {call.kind}" for call in calls if call.code == "internal"})
    unfinished = [f"a queue was never empty ({name})" for name in phases if name.startswith(UNFINISHED)]
    violations["the service"] = internal + unfinished + disorderly_pages(calls)
    return Judged(run, calls, faults, phases, histories, violations)


def histories_of(run: Run, lines: Iterable[Line]) -> dict[str, History]:
    """Return the histories by queue."""
    by_queue: dict[str, list[Call]] = defaultdict(list)
    for line in lines:
        if isinstance(line, Call):
            by_queue[line.queue].append(line)
    return {
        queue.path: history_of(
            queue,
            Guarantee(run.guarantees[queue.application]),
            sorted(by_queue[queue.path], key=lambda call: call.began_s),
        )
        for queue in run.queues
    }


def history_of(queue: Queue, guarantee: Guarantee, calls: list[Call]) -> History:
    """Return the history of one queue; its calls are in the order in which they began."""
    building = _Building(History(guarantee, strict=queue.strict))
    for call in calls:
        add = getattr(building, f"add_{call.kind}", None)
        assert add is not None, call.kind
        add(call)
    return building.history


class _Building:
    """Puts one queue's calls together."""

    def __init__(self, history: History) -> None:
        self.history = history
        self._published: dict[str, Published] = {}
        self._holding: dict[str, tuple[bytes, int]] = {}
        self._claim_began: dict[tuple[str, int], float] = {}
        self._claims: dict[tuple[str, int], int] = {}
        self._followed: dict[tuple[str, int], Followed] = {}

    def add_publish(self, call: Call) -> None:
        bodies = cast("list[str]", call.sent["bodies"])
        items = [item if "key" in item or "retry" in item else {} for item in messages_of(call)]
        for number, body in enumerate(bodies):
            item = items[number] if len(items) == len(bodies) else {}
            self._add_attempt(call, body, item)

    def _add_attempt(self, call: Call, body: str, item: dict[str, object]) -> None:
        record = self._published.get(body)
        if record is None:
            record = Published(body.encode(), call.began_s, keyed="key" in call.sent, outcome=Outcome.FAILED)
            self._published[body] = record
            self.history.published.append(record)
        outcome = _outcome_of_item(call, item)
        if record.outcome is Outcome.OK:
            return
        if outcome is not Outcome.FAILED:
            record.outcome = outcome
        record.ended_s = call.ended_s
        record.due_s = call.ended_s + cast("int", call.sent.get("delay_s") or 0)
        record.delayed = bool(call.sent.get("delay_s"))
        if outcome is Outcome.OK:
            record.message_id = id_from_hex(str(item["key"]))
            record.partition = int(cast("int", item["partition"]))

    def add_claim(self, call: Call) -> None:
        name = (call.client, cast("int", call.sent["number"]))
        began_s = self._claim_began.setdefault(name, call.began_s)
        number = self._claims.setdefault(name, len(self._claims) + 1)
        if call.outcome is Outcome.UNKNOWN:
            self.history.claims_unknown += 1
            self.history.messages_unknown += cast("int", call.sent["limit"])
        for one in cast("list[dict[str, object]]", call.answer.get("claims") or []):
            message_id = id_from_hex(str(one["message_id"]))
            receipt = cast("str | None", one.get("receipt"))
            delivery = cast("int", one["deliveries"])
            if receipt is not None:
                self._holding[receipt] = (message_id, delivery)
            self.history.delivered.append(
                Delivered(
                    began_s=began_s,
                    ended_s=call.ended_s,
                    partition=cast("int", one["partition"]),
                    message_id=message_id,
                    body=str(one["body"]).encode(),
                    receipt=receipt,
                    delivery=delivery,
                    lease_s=cast("int", call.sent.get("lease") or 0),
                    claim=number,
                )
            )

    def add_ack(self, call: Call) -> None:
        results = cast("list[dict[str, object]]", call.answer.get("results") or [])
        for number, receipt in enumerate(cast("list[str]", call.sent["receipts"])):
            message_id, delivery = self._holding[receipt]
            outcome = str(results[number]["outcome"]) if call.outcome is Outcome.OK else str(call.outcome)
            self.history.acked.append(Acked(call.began_s, call.ended_s, receipt, message_id, delivery, outcome))

    def add_release(self, call: Call) -> None:
        for receipt in cast("list[str]", call.sent["receipts"]):
            self.history.extended.add(self._holding[receipt][0])

    def add_extend(self, call: Call) -> None:
        self.add_release(call)
        receipts = cast("list[str]", call.sent["receipts"])
        results = cast("list[dict[str, object]]", call.answer.get("results") or [])
        for receipt, result in zip(receipts, results, strict=False):
            self._holding.setdefault(str(result["receipt"]), self._holding[receipt])

    def add_read(self, call: Call) -> None:
        if call.outcome is not Outcome.OK:
            return
        partition = cast("int", call.sent["partitions"])
        name = (call.client, partition)
        if name not in self._followed:
            self._followed[name] = Followed(partition)
            self.history.followed.append(self._followed[name])
        followed = self._followed[name]
        messages = messages_of(call)
        ids = {id_from_hex(str(message["message_id"])) for message in messages}
        followed.late |= {each for each in ids - followed.seen if each <= followed.complete_until}
        followed.seen |= ids
        place = next_place(call, partition)
        if len(messages) < PAGE and place:
            followed.complete_until = max(followed.complete_until, id_from_hex(place))

    def add_stored(self, call: Call) -> None:
        for message in messages_of(call):
            place = (cast("int", message["partition"]), bytes(id_from_hex(str(message["message_id"]))))
            copies = self.history.stored.setdefault(str(message["body"]).encode(), [])
            if place not in copies:
                copies.append(place)


def disorderly_pages(calls: Iterable[Call]) -> list[str]:
    """Return what is wrong with pages by themselves: ids not ascending, or not after what was asked for."""
    found = set()
    for call in calls:
        if call.kind != "read" or call.outcome is not Outcome.OK:
            continue
        ids = [id_from_hex(str(message["message_id"])) for message in messages_of(call)]
        after = id_from_hex(str(call.sent["after"])) if "after" in call.sent else LOWEST
        if ids != sorted(set(ids)):
            found.add("a page out of order")
        if ids and ids[0] <= after:
            found.add("a page with what was not asked for")
    return sorted(found)


def _outcome_of_item(call: Call, item: dict[str, object]) -> Outcome:
    if "key" in item:
        return Outcome.OK
    if "retry" in item:
        return Outcome.UNKNOWN if item["retry"] == "unknown_outcome" else Outcome.FAILED
    assert call.outcome is not Outcome.OK, call
    return call.outcome
