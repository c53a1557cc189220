"""Reads that go on: server-sent events, one message each, for as long as the client listens.

::

    id: <cursor>            only on the last message of a page: a resume repeats a page, it never skips
    data: {"message_id": ...}

    event: complete         nothing can appear at or below these ids any more, so a client that drops repeats
    id: <cursor>            may forget those it has seen there
    data: {"complete_until": {"1": ...}}

    : idle                  every STREAM_HEARTBEAT_MS without a message, so that a client that left is noticed

The loop reads on from the cursor of the page before and drops what it has sent already: a page may begin before its
end, where an acknowledged message can still appear (``complete_until``).
"""

from __future__ import annotations

import queue as queues
import threading
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec
from flask import Response, request

from api.responses.answers import ENCODER, error_of, stream_answer
from api.responses.showing import message_shown
from api.routes.front import FrontEnd, note
from api.routes.incoming import header, query
from api.routes.reading import read_operation
from api.validation.problems import Problems
from api.validation.reads import (
    Reading,
    cursor_text,
    parse_reading,
    parse_stream_cursors,
    parse_stream_queues,
    stream_cursors_text,
)
from common.clock import Clock
from common.identifiers import id_to_hex
from common.limits import (
    STREAM_HEARTBEAT_MS,
    STREAM_PAGES_QUEUED_MAX,
    STREAM_S_MAX,
    STREAM_WAIT_MS,
)
from common.protocol.failures import Code, FailureError, refuse
from common.protocol.operations import Caller, Message, MessagesRead

EVENT_STREAM: Final = "text/event-stream"
_BEGIN: Final = b"retry: 2000\n\n"
_IDLE: Final = b": idle\n\n"


def wants_stream() -> bool:
    """Say whether the client asks for events."""
    return EVENT_STREAM in request.environ.get("HTTP_ACCEPT", "")


def stream_of_queue(front: FrontEnd, application: str, queue: str, caller: Caller) -> Response:
    """Follow one queue; the first read decides the status."""
    fields = dict(query())
    last_event_id = header("LAST_EVENT_ID")
    if last_event_id:
        fields["cursor"] = last_event_id
    reading = _live(parse_reading(fields))
    follower = Follower(front, application, queue, caller, reading)
    first = follower.read(wait_ms=0)
    return _answer(front, _one_queue(front, follower, first))


def stream_of_queues(front: FrontEnd, application: str, caller: Caller) -> Response:
    """Follow the queues that ``queues`` lists; the first read of each decides the status."""
    fields = dict(query())
    problems = Problems()
    names = problems.read("queues", fields.get("queues"), parse_stream_queues)
    if names is None:
        problems.add("queues", "Required")
    resumed = header("LAST_EVENT_ID") or fields.pop("cursor", None)
    cursors = problems.read("cursor", resumed, parse_stream_cursors) or {}
    problems.refuse_any()
    reading = _live(parse_reading(fields))
    followers = [
        Follower(front, application, name, caller, reading._replace(cursor=cursors.get(name))) for name in names or ()
    ]
    firsts = [follower.read(wait_ms=0) for follower in followers]
    stream_cursors_text({follower.queue: follower.cursor for follower in followers})
    return _answer(front, _many_queues(front, followers, firsts))


class Page(NamedTuple):
    """Messages of a queue that were not sent before, and where to go on after them."""

    queue: str
    messages: list[Message]
    cursor: bytes
    complete_until: dict[int, bytes]
    """Only of partitions of which something sent can be forgotten now."""


class Follower:
    """Reads one queue on and on."""

    def __init__(self, front: FrontEnd, application: str, queue: str, caller: Caller, reading: Reading) -> None:
        self.queue = queue
        self.cursor = reading.cursor or b""
        self._front = front
        self._operation = read_operation(application, queue, caller, reading)
        self._sent: dict[int, set[bytes]] = {}
        self._request_id = note().request_id

    def read(self, *, wait_ms: int) -> Page:
        """Return what is new, possibly nothing.

        Raises:
            FailureError: as any read.
        """
        operation = msgspec.structs.replace(self._operation, wait_ms=wait_ms)
        if self.cursor:
            operation = msgspec.structs.replace(operation, cursor=self.cursor, since=None, after=None)
        found = self._front.ask_as(self._request_id, operation, MessagesRead, wait_ms=wait_ms)
        fresh = [message for message in found.messages if not self._was_sent(message)]
        complete = self._remember(found)
        self.cursor = found.next
        return Page(self.queue, fresh, found.next, complete)

    def _was_sent(self, message: Message) -> bool:
        return message.message_id in self._sent.get(message.partition, ())

    def _remember(self, found: MessagesRead) -> dict[int, bytes]:
        """Keep the ids that a later page may repeat; return where that lets some go."""
        for message in found.messages:
            self._sent.setdefault(message.partition, set()).add(message.message_id)
        complete = {}
        for partition, until in found.complete_until.items():
            sent = self._sent.get(partition, set())
            kept = {message_id for message_id in sent if message_id > until}
            if len(kept) < len(sent):
                self._sent[partition], complete[partition] = kept, until
        return complete


class _Beat:
    """Fills long silences, so that a client which left is noticed and proxies keep the connection."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sent_s = clock.monotonic_s()

    def after(self, events: bytes) -> bytes:
        """Return the events; a comment where there are none and there were none for long."""
        now_s = self._clock.monotonic_s()
        if not events and now_s - self._sent_s < STREAM_HEARTBEAT_MS / 1000:
            return b""
        self._sent_s = now_s
        return events or _IDLE


class Ended(NamedTuple):
    """A follower can't go on."""

    error: FailureError


def _one_queue(front: FrontEnd, follower: Follower, first: Page) -> Iterator[bytes]:
    deadline_s = front.clock.monotonic_s() + STREAM_S_MAX
    beat = _Beat(front.clock)
    yield _BEGIN + _events(first, cursor_text(first.cursor))
    try:
        while front.is_serving() and front.clock.monotonic_s() < deadline_s:
            page = follower.read(wait_ms=STREAM_WAIT_MS)
            yield beat.after(_events(page, cursor_text(page.cursor)))
    except FailureError as error:
        yield _failure(error)


def _many_queues(front: FrontEnd, followers: list[Follower], firsts: list[Page]) -> Iterator[bytes]:
    deadline_s = front.clock.monotonic_s() + STREAM_S_MAX
    cursors = {page.queue: page.cursor for page in firsts}
    beat = _Beat(front.clock)
    yield _BEGIN + b"".join(_events(page, stream_cursors_text(cursors), name=page.queue) for page in firsts)
    pages: queues.Queue[Page | Ended] = queues.Queue(STREAM_PAGES_QUEUED_MAX)
    stop = threading.Event()
    for follower in followers:
        threading.Thread(target=_follow, args=(follower, pages, stop), daemon=True).start()
    try:
        while front.is_serving() and front.clock.monotonic_s() < deadline_s:
            yield beat.after(_next_events(pages, cursors))
    except FailureError as error:
        yield _failure(error)
    finally:
        stop.set()


def _next_events(pages: queues.Queue[Page | Ended], cursors: dict[str, bytes]) -> bytes:
    try:
        page = pages.get(timeout=STREAM_WAIT_MS / 1000)
    except queues.Empty:
        return b""
    if isinstance(page, Ended):
        raise page.error
    cursors[page.queue] = page.cursor
    return _events(page, stream_cursors_text(cursors), name=page.queue)


def _follow(follower: Follower, pages: queues.Queue[Page | Ended], stop: threading.Event) -> None:
    """Read one of several queues, handing pages over as fast as they are sent; ends within one wait."""
    page: Page | Ended
    while not stop.is_set():
        try:
            page = follower.read(wait_ms=STREAM_WAIT_MS)
        except FailureError as error:
            page = Ended(error)
        if isinstance(page, Page) and not page.messages and not page.complete_until:
            continue
        if not _hand_over(page, pages, stop) or isinstance(page, Ended):
            return


def _hand_over(page: Page | Ended, pages: queues.Queue[Page | Ended], stop: threading.Event) -> bool:
    while not stop.is_set():
        try:
            pages.put(page, timeout=1)
        except queues.Full:
            continue
        return True
    return False


def _events(page: Page, event_id: str, *, name: str | None = None) -> bytes:
    """Return a page as events; only the last one moves the client's position."""
    shown = [message_shown(message) for message in page.messages]
    if name is None:
        data = [ENCODER.encode(message) for message in shown]
    else:
        data = [ENCODER.encode({"queue": name, **msgspec.to_builtins(message)}) for message in shown]
    last = len(data) - 1
    place = b"id: " + event_id.encode("ascii") + b"\n"
    lines = ((place if index == last else b"") + b"data: " + line + b"\n\n" for index, line in enumerate(data))
    return b"".join((*lines, _complete(page, place, name=name)))


def _complete(page: Page, place: bytes, *, name: str | None) -> bytes:
    if not page.complete_until:
        return b""
    until = {str(partition): id_to_hex(last) for partition, last in page.complete_until.items()}
    shown = {"complete_until": until} | ({} if name is None else {"queue": name})
    return b"event: complete\n" + place + b"data: " + ENCODER.encode(shown) + b"\n\n"


def _failure(error: FailureError) -> bytes:
    """Return the last event of a stream that can't go on; the client comes back by itself."""
    return b"event: failure\ndata: " + ENCODER.encode(error_of(error.failure)) + b"\n\n"


def _live(reading: Reading) -> Reading:
    if reading.descending or reading.until is not None:
        field = "order" if reading.descending else "until"
        raise refuse(Code.INVALID_REQUEST, field, "has no meaning in a stream")
    return reading


def _answer(front: FrontEnd, events: Iterator[bytes]) -> Response:
    if not front.streams.acquire(blocking=False):
        raise refuse(Code.OVERLOADED, "streams", "too many event streams", 5_000)
    response = stream_answer(events, EVENT_STREAM)
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(front.streams.release)
    return response
