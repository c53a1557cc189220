"""The one page that says what was done, what was found, and how the system fared meanwhile."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from tests.fault.allowed import allowed, faults_at
from tests.fault.history import UNDONE, Call
from tests.fault.judging import Judged
from tests.support.checkers import History, Outcome

KINDS: Final = ("publish", "claim", "ack", "release", "extend", "read")


def markdown(judged: Judged) -> str:
    """Return the report."""
    parts = [
        _head(judged),
        _violations(judged),
        _operations(judged),
        _faults(judged),
        _seen(judged),
        _allowed(judged),
    ]
    return "\n".join(parts)


def violations(judged: Judged) -> list[str]:
    """Return all violations, each with its queue."""
    return [f"{path}: {sentence}" for path, found in judged.violations.items() for sentence in found]


def _head(judged: Judged) -> str:
    run = judged.run
    last_s = max((call.ended_s for call in judged.calls), default=0.0)
    lasted_s = judged.phases.get("ended", last_s) - judged.phases.get("begun", 0.0)
    calls = _under_faults(judged)
    ok = sum(call.outcome is Outcome.OK for call in calls)
    share = ok / len(calls) if calls else 0.0
    asked = "" if lasted_s >= run.seconds - 1 else f" of {run.seconds:.0f} s asked for"
    clients = len({call.client for call in calls})
    return (
        f"# Faults, seed {run.seed}\n\n"
        f"Commit {run.commit}; {lasted_s:.0f} s under faults{asked}, "
        f"{_healed(judged)}"
        f"{clients} clients, {len(run.queues)} queues.\n\n"
        f"- Operations: {len(judged.calls):,}; faults: {len(judged.faults)}; "
        f"violations: {len(violations(judged))}\n"
        f"- Availability under faults: {share:.1%} of the calls succeeded; "
        f"the longest time without any success: {_longest_gap_s(calls):.1f} s\n{_undrained(judged)}"
    )


def _healed(judged: Judged) -> str:
    if "healed" not in judged.phases:
        return ""
    return f"healed {judged.phases['healed'] - judged.phases.get('ended', 0.0):.0f} s later; "


def _undrained(judged: Judged) -> str:
    if "drained" in judged.phases:
        return ""
    return "- It ended before it was drained: whether anything was lost is judged by what readers followed alone\n"


def _violations(judged: Judged) -> str:
    found = violations(judged)
    lines = [f"- {line}" for line in found] or ["None: nothing lost, duplicated, reordered, phantom, settled twice."]
    return "## Violations\n\n" + "\n".join(lines) + "\n"


def _operations(judged: Judged) -> str:
    lines = ["## Operations\n", "| call | ok | failed | unknown | p50 ms | p99 ms |", "|---|--:|--:|--:|--:|--:|"]
    for kind in KINDS:
        calls = [call for call in judged.calls if call.kind == kind]
        counts = Counter(call.outcome for call in calls)
        times = sorted((call.ended_s - call.began_s) * 1000 for call in calls if call.outcome is Outcome.OK)
        figures = (*(counts[outcome] for outcome in Outcome), _quantile(times, 0.5), _quantile(times, 0.99))
        lines.append(f"| {kind} | " + " | ".join(f"{figure:,.0f}" for figure in figures) + " |")
    reasons = Counter(call.code for call in judged.calls if call.code)
    lines.append("\nWithout success: " + ", ".join(f"{code} {count:,}" for code, count in reasons.most_common()))
    return "\n".join(lines) + "\n"


def _faults(judged: Judged) -> str:
    lines = ["## Faults\n", "| fault | times | seconds |", "|---|--:|--:|"]
    by_kind: dict[str, list[float]] = defaultdict(list)
    for fault in judged.faults:
        by_kind[fault.kind].append(fault.ended_s - fault.began_s)
    lines += [f"| {kind} | {len(times)} | {sum(times):.0f} |" for kind, times in sorted(by_kind.items())]
    undone = [f"\nNot done: {name.removeprefix(UNDONE)}" for name in judged.phases if name.startswith(UNDONE)]
    return "\n".join([*lines, *undone]) + "\n"


def _seen(judged: Judged) -> str:
    lines = [
        "## What was seen\n",
        "| queue | partitions | guarantee | published | unknown | stored twice | delivered | more than once | acked "
        "| lease lost |",
        "|---|--:|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for queue in judged.run.queues:
        history = judged.histories[queue.path]
        strict = ", strict" if queue.strict else ""
        figures = " | ".join(f"{figure:,}" for figure in _figures(history))
        lines.append(f"| {queue.path} | {queue.partitions} | {history.guarantee}{strict} | {figures} |")
    return "\n".join(lines) + "\n"


def _allowed(judged: Judged) -> str:
    lines = [
        "## What the guarantees do not rule out\n",
        "| what | times | of | faults at that time |",
        "|---|--:|--:|---|",
    ]
    for one in allowed(judged):
        kinds: Counter[str] = sum((faults_at(span, judged.faults) for span in one.spans), Counter())
        text = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common(4))
        lines.append(f"| {one.what} | {len(one.spans):,} | {one.of:,} | {text} |")
    return "\n".join(lines) + "\n"


def _figures(history: History) -> Sequence[int]:
    outcomes = Counter(one.outcome for one in history.published)
    delivered = Counter(one.message_id for one in history.delivered)
    answers = Counter(one.outcome for one in history.acked)
    return (
        outcomes[Outcome.OK],
        outcomes[Outcome.UNKNOWN],
        sum(len(copies) > 1 for copies in history.stored.values()),
        len(delivered),
        sum(count > 1 for count in delivered.values()),
        answers["acked"],
        answers["lease_lost"],
    )


def _under_faults(judged: Judged) -> list[Call]:
    end_s = judged.phases.get("ended", float("inf"))
    return [call for call in judged.calls if call.kind in KINDS and call.began_s < end_s]


def _longest_gap_s(calls: Sequence[Call]) -> float:
    times = sorted(call.ended_s for call in calls if call.outcome is Outcome.OK)
    return max((after - before for before, after in pairwise(times)), default=0.0)


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
