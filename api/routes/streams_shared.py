"""One read on and on for all streams that wait at the same place: a node is asked once, however many listen.

A stream that is alone reads for itself, in its own greenlet.  With the second one a greenlet of its own reads for all
of them.  They get pages as they are, raw, and keep their own places, so nothing rests on when one came or left; pages
are kept for a moment only: who is slower than that falls out and reads for itself again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import msgspec

from api.routes.streams_place import Place, Step, advance
from common.limits import STREAM_PAGES_KEPT_MAX, STREAM_WAIT_MS
from common.protocol.failures import Failure, FailureError
from common.protocol.operations import MessagesRead, Read

ReadOn = Callable[[Read], MessagesRead]
"""Reads; raises ``FailureError``."""


class FellBehindError(Exception):
    """The page asked for is not kept any more."""


class SharedPage:
    """A page as it was read, and what it is for the places that met it."""

    __slots__ = ("_steps", "found", "shown")

    def __init__(self, found: MessagesRead) -> None:
        self.found = found
        self.shown: dict[Place, bytes] = {}
        """Its events, as those who were at a place are sent them."""
        self._steps: dict[Place, Step] = {}

    def step(self, place: Place) -> Step:
        """Return what it brings to a place; places that become equal become one."""
        step = self._steps.get(place)
        if step is None:
            step = self._steps[place] = advance(place, self.found)
        return step


class SharedRead:
    """The read of one queue by one caller, from where the first one was who joined."""

    def __init__(
        self,
        operation: Read,
        cursor: bytes,
        read: ReadOn,
        *,
        leave: Callable[[], None],
        is_serving: Callable[[], bool],
    ) -> None:
        """``operation`` has no place of its own; ``leave`` is called when nobody may join any more."""
        self.place = Place(cursor)
        self.number = 0
        """Pages so far."""
        self._operation = operation
        self._read = read
        self._leave = leave
        self._is_serving = is_serving
        self._members = 0
        self._pages: deque[SharedPage] = deque(maxlen=STREAM_PAGES_KEPT_MAX)
        self._turn = threading.Event()
        self._is_reading = False
        self._has_reader = False
        self._failure: Failure | None = None

    def join(self) -> None:
        """Count one who waits; with the second one, reading goes on by itself."""
        self._members += 1
        if self._members > 1 and not self._has_reader:
            self._has_reader = True
            threading.Thread(target=self._read_on, daemon=True).start()

    def leave(self) -> None:
        """Count one less."""
        self._members -= 1
        if not self._members:
            self._leave()

    def page_after(self, number: int, *, wait_ms: int) -> SharedPage | None:
        """Return the page behind so many, ``None`` where none came in time.

        Raises:
            FellBehindError: it was forgotten.
            FailureError: the read was refused, for all.
        """
        if number == self.number and self._failure is None:
            if self._has_reader or self._is_reading:
                self._turn.wait(wait_ms / 1000)
            else:
                self._read_once(min(wait_ms, STREAM_WAIT_MS))
                if self._has_reader:
                    self._wake()  # others have come meanwhile, and wait for this read
        if number < self.number:
            return self._kept(number - self.number)
        if self._failure is not None:
            raise FailureError(self._failure)
        return None

    def _kept(self, at: int) -> SharedPage:
        """Return a page, counted from the end; who is alone needs it only once."""
        if -at > len(self._pages):
            raise FellBehindError
        page = self._pages[at]
        if self._members == 1:
            self._pages.clear()
        return page

    def _read_on(self) -> None:
        """Read for all, as long as there is more than one."""
        try:
            while self._members > 1 and self._failure is None and self._is_serving():
                if self._is_reading:
                    self._turn.wait(STREAM_WAIT_MS / 1000)
                    continue
                number = self.number
                self._read_once(STREAM_WAIT_MS)
                if self.number != number:
                    self._wake()
        finally:
            self._has_reader = False
            self._wake()

    def _read_once(self, wait_ms: int) -> None:
        self._is_reading = True
        operation = msgspec.structs.replace(self._operation, cursor=self.place.cursor, wait_ms=wait_ms)
        try:
            self._keep(self._read(operation))
        except FailureError as error:
            self._failure = error.failure
            self._leave()
        finally:
            self._is_reading = False

    def _keep(self, found: MessagesRead) -> None:
        """Keep a page that says anything; once there is none, who has not taken the last ones is too slow."""
        page = SharedPage(found)
        step = page.step(self.place)
        self.place = step.place
        if found.messages or step.complete_until:
            self._pages.append(page)
            self.number += 1
        else:
            self._pages.clear()

    def _wake(self) -> None:
        turn, self._turn = self._turn, threading.Event()
        turn.set()


class SharedReads:
    """All shared reads of a process."""

    def __init__(self, *, is_serving: Callable[[], bool]) -> None:
        self._is_serving = is_serving
        self._reads: dict[Read, SharedRead] = {}

    def find(self, operation: Read) -> SharedRead | None:
        """Return the read that this one could share."""
        return self._reads.get(operation)

    def begin(self, operation: Read, cursor: bytes, read: ReadOn) -> SharedRead:
        """Begin one, to be joined."""

        def leave() -> None:
            if self._reads.get(operation) is shared:
                del self._reads[operation]

        shared = SharedRead(operation, cursor, read, leave=leave, is_serving=self._is_serving)
        self._reads[operation] = shared
        return shared

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._reads)
