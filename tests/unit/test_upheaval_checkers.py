"""The checkers of what changes under load: each finds the bad history it is for, and nothing in the good one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from common.guarantees import Guarantee
from common.identifiers import MessageId, id_to_hex, make_id
from tests.support.checkers import Delivered, Followed, History, Outcome, Published, check
from tests.support.clock import START_TICKS
from tests.support.upheavals import check_upheavals

LOW = b"\x80\x00\x01abcde"


def id_at(second: int) -> MessageId:
    return make_id(START_TICKS + second * 10_000_000, LOW)


def published(second: int, **more: object) -> Published:
    """A message published and acknowledged in this second."""
    one = Published(b"m%d" % second, second, second + 0.5, Outcome.OK, id_at(second), 1)
    for name, value in more.items():
        setattr(one, name, value)
    return one


def delivered(second: float, of: Published, *, message_id: bytes = b"", receipt: str = "r") -> Delivered:
    """It was handed out at this time, for 5 s."""
    ended_s = second + 0.1
    return Delivered(second, ended_s, 1, message_id or of.message_id, of.body, receipt, 1, 5.0, round(second * 10))


def good() -> History:
    """A queue made again, with messages in both; one that expires; one that died and came back."""
    old, short, poison, new = published(1), published(20, ttl_s=5), published(21), published(30)
    back = id_at(25)
    return History(
        Guarantee.EXACTLY_ONCE,
        published=[old, short, poison, new],
        delivered=[
            delivered(2, old),
            delivered(22, short),
            delivered(23, poison),
            delivered(26, poison, message_id=back),
            delivered(31, new),
        ],
        acked=[],
        stored={poison.body: [(1, poison.message_id), (1, back)], new.body: [(1, new.message_id)]},
        buried={poison.body},
        recreated_s=(10.0, 15.0),
        dead_letters=[(id_to_hex(poison.message_id), poison.body)],
        all_redriven=True,
        followed=[Followed(1, {id_at(21), id_at(30)}, id_at(30), from_s=16.0)],
    )


def _came_back(history: History) -> None:
    history.delivered.append(delivered(16, history.published[0]))


def _after_its_time(history: History) -> None:
    history.delivered.append(delivered(29, history.published[1]))


def _buried_twice(history: History) -> None:
    history.dead_letters *= 2


def _lost_on_its_way_back(history: History) -> None:
    history.stored[b"m21"].pop()


def _back_twice(history: History) -> None:
    history.stored[b"m21"].append((1, id_at(27)))
    history.delivered.append(delivered(28, history.published[2], message_id=id_at(27)))


def _back_in_vain(history: History) -> None:
    history.delivered = [one for one in history.delivered if one.message_id != id_at(25)]


def _lease_lost(history: History) -> None:
    history.calm, history.guarantee = True, Guarantee.AT_LEAST_ONCE
    history.delivered.append(delivered(32, history.published[3], receipt="other"))


BAD: dict[str, Callable[[History], None]] = {
    "delivered from a deleted queue": _came_back,
    "delivered after its time": _after_its_time,
    "buried twice": _buried_twice,
    "a dead letter was lost on its way back": _lost_on_its_way_back,
    "a dead letter was brought back twice": _back_twice,
    "brought back, never delivered": _back_in_vain,
    "handed out while it was leased": _lease_lost,
}


def test_a_good_history_is_clean() -> None:
    """Nothing is found where nothing is wrong, though much has happened."""
    assert check_upheavals(good()) == []
    assert [found for found in check(good()) if found != "delivered, never acked"] == []


@pytest.mark.parametrize("sentence", sorted(BAD))
def test_a_bad_history_is_found(sentence: str) -> None:
    """One change makes it bad, and the sentence says how."""
    history = good()
    BAD[sentence](history)
    assert sentence in check_upheavals(history)


def test_one_key_has_one_id_and_one_message() -> None:
    """Two answers, two copies, or a copy under another id than the one told."""
    one = published(30, keyed=True, answers={(1, id_at(30))})
    history = History(Guarantee.AT_LEAST_ONCE, published=[one], delivered=[delivered(31, one)])
    history.stored = {one.body: [(1, one.message_id)]}
    assert check(history) == []
    one.answers.add((1, id_at(31)))
    assert "two ids under one key" in check(history)
    history.stored[one.body].append((1, id_at(31)))
    assert "stored twice under one key" in check(history)
    history.stored = {one.body: [(1, id_at(32))]}
    assert "acknowledged under a key, stored under another id" in check(history)


def test_at_most_once_delivers_one_key_once() -> None:
    """Also where the client sent it twice."""
    one = published(30, keyed=True, answers={(1, id_at(30))})
    history = History(Guarantee.AT_MOST_ONCE, published=[one], stored={one.body: [(1, one.message_id)]})
    history.delivered = [delivered(31, one), delivered(32, one, message_id=id_at(31))]
    assert "delivered twice under one key" in check(history)
