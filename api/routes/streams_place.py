"""Where a follower of a queue is, and how a page moves it: plain values, no waiting.

A page may repeat what is not complete yet, so a place is a cursor and the ids that were handed out beyond it.  Two
followers at the same place get the same of the same page: a page that many share is worked out once for all of them.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from common.cursor import BadCursorError, decode_cursor
from common.protocol.operations import Message, MessagesRead

Sent = frozenset[tuple[int, bytes]]
"""(partition, message id)."""


class Place(NamedTuple):
    """Where a follower is."""

    cursor: bytes = b""
    """Empty before the first page."""
    sent: Sent = frozenset()
    """Handed out, and a later page may bring it again."""


class Step(NamedTuple):
    """What a page is for one place."""

    place: Place
    """Where it leads."""
    fresh: tuple[Message, ...]
    """What was not handed out before."""
    complete_until: dict[int, bytes]
    """Only of partitions of which something handed out can be forgotten now."""


def advance(place: Place, found: MessagesRead) -> Step:
    """Return what a page brings to a place.

    The page may have been read from an earlier place: what lies at or below this one was handed out and forgotten.
    """
    passed = resumes(place.cursor)
    fresh = tuple(
        message
        for message in found.messages
        if (message.partition, message.message_id) not in place.sent
        and message.message_id > passed.get(message.partition, b"")
    )
    sent = place.sent.union((message.partition, message.message_id) for message in fresh)
    cursor = found.next if covers(found.next, place.cursor) else place.cursor
    passed = resumes(cursor)
    kept = frozenset(one for one in sent if one[1] > passed.get(one[0], b""))
    # not beyond where a resume begins: it would bring again what the client was told to forget
    bounds = {partition: min(until, passed.get(partition, b"")) for partition, until in found.complete_until.items()}
    complete = {
        partition: until
        for partition, until in bounds.items()
        if any(one[0] == partition and one[1] <= until for one in sent)
    }
    return Step(Place(cursor, kept), fresh, complete)


def covers(cursor: bytes, other: bytes) -> bool:
    """Say whether whoever is at ``cursor`` has all that whoever is at ``other`` has."""
    here = resumes(cursor)
    return all(here.get(partition, b"") >= resume for partition, resume in resumes(other).items())


@functools.lru_cache(maxsize=1_024)
def resumes(cursor: bytes) -> dict[int, bytes]:
    """Return partition -> id at and below which nothing comes any more; do not change it."""
    try:
        return (
            {partition: place.resume for partition, place in decode_cursor(cursor).places.items()} if cursor else {}
        )
    except BadCursorError:
        # Of a later version: then nothing is known of it, so it covers no other and no page is shared.
        return {}
