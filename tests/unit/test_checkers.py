"""The judges are judged: hand-made bad histories, each with the one sentence that must be found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from common.guarantees import Guarantee
from tests.support.checkers import Acked, Delivered, Followed, History, Outcome, Published, check

ALO, AMO, EO = Guarantee.AT_LEAST_ONCE, Guarantee.AT_MOST_ONCE, Guarantee.EXACTLY_ONCE


def _published(number: int, outcome: Outcome = Outcome.OK) -> Published:
    return Published(b"m%d" % number, 1.0, 2.0, outcome, bytes([number]), 1)


def _delivered(number: int, *, at_s: float = 3.0, delivery: int = 1, claim: int = 1) -> Delivered:
    return Delivered(
        at_s, at_s + 0.1, 1, bytes([number]), b"m%d" % number, f"r{number}-{delivery}", delivery, 30.0, claim
    )


def _acked(number: int, *, at_s: float = 4.0, delivery: int = 1, outcome: str = "acked") -> Acked:
    return Acked(at_s, at_s + 0.1, f"r{number}-{delivery}", bytes([number]), delivery, outcome)


def _good(guarantee: Guarantee) -> History:
    """Return a history of two messages in which all is well."""
    return History(
        guarantee,
        published=[_published(1), _published(2)],
        delivered=[_delivered(1), _delivered(2)],
        acked=[] if guarantee is AMO else [_acked(1), _acked(2)],
        followed=[Followed(1, {b"\x01", b"\x02"}, b"\x02")],
        stored={b"m1": [(1, b"\x01")], b"m2": [(1, b"\x02")]},
    )


@pytest.mark.parametrize("guarantee", list(Guarantee))
def test_a_good_history_is_left_alone(guarantee: Guarantee) -> None:
    """No checker cries without a reason."""
    assert check(_good(guarantee)) == []


BAD: dict[str, tuple[Guarantee, dict[str, Any]]] = {
    "delivered twice": (AMO, {"delivered": [_delivered(1), _delivered(2), _delivered(1, at_s=9.0)]}),
    "stored twice without a retry of the client": (AMO, {"stored": {b"m1": [(1, b"\x01"), (1, b"\x03")]}}),
    "acknowledged, never delivered": (ALO, {"delivered": [_delivered(1)], "acked": [_acked(1)]}),
    "failed, yet delivered": (ALO, {"published": [_published(1), _published(2, Outcome.FAILED)]}),
    "delivered, never published": (ALO, {"published": [_published(1)]}),
    "complete_until skipped one": (ALO, {"followed": [Followed(1, {b"\x01"}, b"\x02")]}),
    "not delivered again after the rewind": (ALO, {"sought_s": (5.0, 6.0)}),
    "acked after the rewind without a new delivery": (
        ALO,
        {
            "sought_s": (5.0, 6.0),
            "delivered": [_delivered(1, at_s=7.0), _delivered(2)],
            "acked": [_acked(1), _acked(2, at_s=8.0)],
        },
    ),
    "stored twice": (EO, {"stored": {b"m1": [(1, b"\x01"), (1, b"\x03")], b"m2": [(1, b"\x02")]}}),
    "acknowledged, not stored": (EO, {"stored": {b"m1": [(1, b"\x01")]}}),
    "two acks told acked": (
        EO,
        {
            "delivered": [_delivered(1), _delivered(2), _delivered(1, at_s=40.0, delivery=2)],
            "acked": [_acked(1, at_s=60.0), _acked(2), _acked(1, at_s=61.0, delivery=2)],
        },
    ),
    "delivered, never acked": (EO, {"acked": [_acked(1), _acked(2, outcome="lease_lost")]}),
    "delivered after it was settled": (
        EO,
        {"delivered": [_delivered(1), _delivered(2), _delivered(1, at_s=50.0, delivery=2)]},
    ),
    "leased twice at once": (
        EO,
        {
            "delivered": [_delivered(1), _delivered(2), _delivered(1, at_s=9.0, delivery=2)],
            "acked": [_acked(1, at_s=20.0, delivery=2), _acked(2)],
        },
    ),
}


@pytest.mark.parametrize("sentence", sorted(BAD))
def test_a_bad_history_is_noticed(sentence: str) -> None:
    """Each violation is called by its name."""
    guarantee, changes = BAD[sentence]
    assert sentence in check(replace(_good(guarantee), **changes))


def test_messages_out_of_order_are_noticed() -> None:
    """Strict: a later message handed out before an earlier one that was there."""
    history = replace(
        _good(EO),
        strict=True,
        delivered=[_delivered(2), _delivered(1, at_s=9.0, claim=2)],
        acked=[_acked(2), _acked(1, at_s=10.0)],
    )
    assert check(history) == ["out of order"]


def test_two_claims_at_once_are_noticed() -> None:
    """Strict: a second claim gets something while the first still works."""
    history = replace(
        _good(EO),
        strict=True,
        delivered=[_delivered(1), _delivered(2, at_s=5.0, claim=2)],
        acked=[_acked(1, at_s=9.0), _acked(2, at_s=10.0)],
    )
    assert check(history) == ["two claims at once"]


def test_a_publish_that_lasted_while_its_queue_was_made_again_is_of_either() -> None:
    """Strict: its message may be of the new queue, and goes out while one of the old queue is still leased."""
    good = _good(EO)
    outlived = replace(good.published[1], began_s=0.0, ended_s=8.0)
    history = replace(
        good,
        strict=True,
        published=[good.published[0], outlived],
        delivered=[_delivered(1), _delivered(2, at_s=5.0, claim=2)],
        acked=[_acked(1, at_s=9.0), _acked(2, at_s=10.0)],
        recreated_s=(3.0, 4.0),
    )
    assert "two claims at once" not in check(history)


def test_unknown_outcomes_accuse_nobody() -> None:
    """What may or may not be there may be seen or not."""
    history = _good(ALO)
    history.published.append(_published(3, Outcome.UNKNOWN))
    assert check(history) == []
    history.delivered.append(_delivered(3))
    assert check(history) == []
