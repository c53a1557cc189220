"""One stream's way through one queue: alone until it is where others are, then with them."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from api.routes.front import FrontEnd, note
from api.routes.reading import read_operation
from api.routes.streams_place import Place, Step, advance, covers, resumes
from api.routes.streams_shared import FellBehindError, SharedPage, SharedRead
from api.validation.reads import Reading
from common.limits import READ_BYTES_MAX, STREAM_WAIT_MS
from common.protocol.operations import Caller, Message, MessagesRead, Read


class Page(NamedTuple):
    """Messages of a queue that were not sent before, and where to go on after them."""

    queue: str
    messages: tuple[Message, ...]
    cursor: bytes
    complete_until: dict[int, bytes]
    """Only of partitions of which something sent can be forgotten now."""
    before: Place
    """Where the stream was."""
    shared: SharedPage | None = None
    """What all streams got that were at the same place."""


class Follower:
    """Reads one queue on and on."""

    __slots__ = ("_front", "_is_hasty", "_number", "_operation", "_request_id", "_shared", "place", "queue")

    def __init__(self, front: FrontEnd, application: str, queue: str, caller: Caller, reading: Reading) -> None:
        self.queue = queue
        self.place = Place(reading.cursor or b"")
        self._front = front
        self._operation = read_operation(application, queue, caller, reading)
        self._request_id = note().request_id
        self._shared: SharedRead | None = None
        self._number = 0
        self._is_hasty = False

    def read(self, *, wait_ms: int) -> Page:
        """Return what is new, possibly nothing.

        Raises:
            FailureError: as any read.
        """
        if self._shared is not None:
            try:
                page = self._shared.page_after(self._number, wait_ms=wait_ms)
            except FellBehindError:
                self.leave()
            else:
                return self._take(page)
        return self._read_alone(wait_ms)

    def leave(self) -> None:
        """Read for itself from now on."""
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.leave()

    def _take(self, page: SharedPage | None) -> Page:
        before = self.place
        if page is None:
            return Page(self.queue, (), before.cursor, {}, before)
        self._number += 1
        return self._page(before, page.step(before), page)

    def _page(self, before: Place, step: Step, shared: SharedPage | None = None) -> Page:
        self.place = step.place
        return Page(self.queue, step.fresh, step.place.cursor, step.complete_until, before, shared)

    def _read_alone(self, wait_ms: int) -> Page:
        """Read from here.  Where others are ahead, look once without waiting whether that leads to them."""
        before = self.place
        key = self._key()
        shared = self._front.shared_reads.find(key)
        number, theirs = (shared.number, shared.place.cursor) if shared is not None else (0, b"")
        self._is_hasty = shared is not None and not self._is_hasty
        operation = self._operation
        if before.cursor:
            operation = msgspec.structs.replace(operation, cursor=before.cursor, since=None, after=None)
        found = self._ask(
            msgspec.structs.replace(operation, wait_ms=0 if self._is_hasty else min(wait_ms, STREAM_WAIT_MS))
        )
        page = self._page(before, advance(before, found))
        if shared is not None and covers(page.cursor, theirs):
            if self._front.shared_reads.find(key) is shared:  # it may have failed meanwhile
                self._join(shared, number)
        elif shared is None and _is_whole(operation, found) and self._front.shared_reads.find(self._key()) is None:
            self._join(self._front.shared_reads.begin(self._key(), page.cursor, self._ask), 0)
        return page

    def _join(self, shared: SharedRead, number: int) -> None:
        """Go on with others, whose next page is the one behind ``number``: all before it is in what was read."""
        shared.join()
        self._shared, self._number = shared, number

    def _key(self) -> Read:
        """Return what those have in common who may share a read: all but where they are."""
        partitions = tuple(resumes(self.place.cursor)) or self._operation.partitions
        return msgspec.structs.replace(
            self._operation, partitions=partitions, cursor=None, since=None, after=None, wait_ms=0
        )

    def _ask(self, operation: Read) -> MessagesRead:
        return self._front.ask_as(self._request_id, operation, MessagesRead, wait_ms=operation.wait_ms)


def _is_whole(operation: Read, found: MessagesRead) -> bool:
    """Say whether a page surely ends where the log does."""
    size = sum(len(message.body) for message in found.messages)
    return len(found.messages) < operation.limit and size < READ_BYTES_MAX // 2
