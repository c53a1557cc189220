"""List reads: pages of a log that step over nothing."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import NamedTuple

from common.clock import Clock
from common.cursor import BadCursorError, Cursor, Place, decode_cursor, encode_cursor
from common.guarantees import Consistency
from common.identifiers import HIGHEST, LOWEST, MessageId, id_after, id_before
from common.limits import READ_BYTES_MAX
from common.protocol.failures import Code, refuse
from common.protocol.operations import Message, MessagesRead, Read
from storage_node.log.bounds import Bounds, BoundsTaker
from storage_node.log.listings import Listings
from storage_node.log.rescans import Watches
from storage_node.store.interface import QueueRow, StoredMessage


class _Start(NamedTuple):
    """Where the walk through one partition begins; both ends included."""

    low: MessageId
    high: MessageId
    seen: MessageId
    """What the reader was given already; only a message later than this ends a wait."""


class _Part(NamedTuple):
    """One partition of a page."""

    messages: list[StoredMessage]
    place: Place
    complete: MessageId
    news: bool


class Reader:
    """Answers ``Read``."""

    def __init__(self, listings: Listings, bounds: BoundsTaker, watches: Watches, *, clock: Clock) -> None:
        self._listings = listings
        self._bounds = bounds
        self._watches = watches
        self._clock = clock

    async def read(self, operation: Read, queue: QueueRow, *, deadline_s: float) -> MessagesRead:
        """Return a page; with ``wait_ms`` once there is something new in it, the time is over or the node drains.

        Raises:
            FailureError: ``INVALID_PARAMETER``, the cursor is none.
        """
        starts = _starts(operation, queue)
        if not operation.wait_ms:
            return (await self._page(operation, queue, starts))[0]
        return await self._wait(operation, queue, starts, deadline_s)

    async def _wait(
        self, operation: Read, queue: QueueRow, starts: dict[int, _Start], deadline_s: float
    ) -> MessagesRead:
        end_s = min(self._clock.monotonic_s() + operation.wait_ms / 1000, deadline_s)
        with self._watches.watch(queue, tuple(starts)) as watch:
            while True:
                page, news = await self._page(operation, queue, starts)
                left_s = end_s - self._clock.monotonic_s()
                if news or left_s <= 0 or watch.draining:
                    return page
                if not await watch.wait(left_s):
                    return page

    async def _page(self, operation: Read, queue: QueueRow, starts: dict[int, _Start]) -> tuple[MessagesRead, bool]:
        messages: list[Message] = []
        places: dict[int, Place] = {}
        complete: dict[int, bytes] = {}
        room, news = READ_BYTES_MAX, False
        for partition, start in starts.items():
            part = await self._part(operation, queue, partition, start, room)
            room -= sum([len(message.body) for message in part.messages])
            messages += [to_message(partition, message) for message in part.messages]
            places[partition] = part.place
            complete[partition] = part.complete
            news = news or part.news
        page = MessagesRead(
            messages=tuple(messages),
            next=encode_cursor(places, descending=operation.descending),
            complete_until={} if queue.consistency is Consistency.WEAK else complete,
            guarantee=queue.guarantee,
        )
        return page, news

    async def _part(self, operation: Read, queue: QueueRow, partition: int, start: _Start, room: int) -> _Part:
        bounds = await self._bounds.take(queue, partition)
        limit = operation.limit if room > 0 else 0
        found: list[StoredMessage] = []
        if limit and start.low <= start.high:
            found = await self._listings.both(
                queue,
                partition,
                bounds,
                low=start.low,
                high=start.high,
                limit=limit,
                descending=operation.descending,
            )
        fitting = _fitting(found, room)
        ended = len(fitting) < len(found) or len(found) >= limit
        make = _descended if operation.descending else _ascended
        return make(start, bounds, fitting, ended=ended)


def _ascended(start: _Start, bounds: Bounds, found: list[StoredMessage], *, ended: bool) -> _Part:
    """``ended``: the page ended before the walk did, so it covers only what it returns."""
    before = id_before(start.low)
    seen = found[-1].message_id if found else max(start.seen, before)
    covered = (found[-1].message_id if found else before) if ended else start.high
    complete = min(bounds.complete, covered)
    resume = max(complete, before)
    news = any(message.message_id > start.seen for message in found)
    return _Part(found, Place(resume, max(resume, seen)), complete, news)


def _descended(start: _Start, bounds: Bounds, found: list[StoredMessage], *, ended: bool) -> _Part:
    """Walking down, what is new lies behind: the place only leads on towards the beginning."""
    last = found[-1].message_id if found else id_after(start.high)
    resume = last if ended else LOWEST
    return _Part(found, Place(resume, resume), bounds.complete, bool(found))


def _starts(operation: Read, queue: QueueRow) -> dict[int, _Start]:
    if operation.cursor is not None:
        return _starts_from_cursor(operation, _cursor(operation.cursor))
    partitions = operation.partitions or tuple(range(1, queue.partitions + 1))
    low, high = _ends(operation)
    seen = MessageId(operation.since or operation.after or LOWEST)
    return dict.fromkeys(partitions, _Start(low, high, seen))


def _ends(operation: Read) -> tuple[MessageId, MessageId]:
    """Return the range; walking down, ``since`` is its upper end."""
    since = None if operation.since is None else MessageId(operation.since)
    after = None if operation.after is None else MessageId(operation.after)
    until = None if operation.until is None else MessageId(operation.until)
    if operation.descending:
        high = id_before(after) if after is not None else since if since is not None else HIGHEST
        return until if until is not None else LOWEST, high
    low = id_after(after) if after is not None else since if since is not None else LOWEST
    return low, until if until is not None else HIGHEST


def _starts_from_cursor(operation: Read, cursor: Cursor) -> dict[int, _Start]:
    until = None if operation.until is None else MessageId(operation.until)
    starts = {}
    for partition, (resume, seen) in cursor.places.items():
        if operation.descending:
            starts[partition] = _Start(until or LOWEST, id_before(resume), seen)
        else:
            starts[partition] = _Start(id_after(resume), until or HIGHEST, seen)
    return starts


def _cursor(data: bytes) -> Cursor:
    try:
        return decode_cursor(data)
    except BadCursorError:
        raise refuse(Code.INVALID_PARAMETER, "cursor", "This is no cursor of this service.") from None


def _fitting(found: Sequence[StoredMessage], room: int) -> list[StoredMessage]:
    """Return as many as fit; at least one of them where there is any room, so that a reader always gets on."""
    sizes, total = [], 0
    for message in found:
        total += len(message.body)
        sizes.append(total)
    fit = bisect.bisect_right(sizes, room)
    return list(found[: max(fit, 1 if room >= READ_BYTES_MAX else 0)])


def to_message(partition: int, message: StoredMessage) -> Message:
    """Return a message as clients see it."""
    return Message(
        message_id=message.message_id,
        partition=partition,
        body=message.body,
        content_type=message.content_type,
        attributes=message.attributes,
    )
