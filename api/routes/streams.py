"""Reads that go on: server-sent events, one message each, for as long as the client listens.

::

    id: <cursor>            only on the last message of a page: a resume repeats a page, it never skips
    data: {"message_id": ...}

    event: complete         nothing can appear at or below these ids any more, so a client that drops repeats
    id: <cursor>            may forget those it has seen there
    data: {"complete_until": {"1": ...}}

    : idle                  every STREAM_HEARTBEAT_MS without a message, so that a client that left is noticed

A stream reads on from where the page before led (``streams_place``), together with all others that wait there
(``streams_shared``).
"""

from __future__ import annotations

import contextlib
import queue as queues
import secrets
import threading
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec
from flask import Response, request

from api.responses.answers import ENCODER, error_of, stream_answer
from api.responses.showing import message_shown
from api.routes.front import FrontEnd
from api.routes.incoming import header, query
from api.routes.streams_follower import Follower, Page
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
from common.protocol.operations import Caller

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
    follower = Follower(front, application, queue, caller, _live(parse_reading(fields)))
    with _admitted(front, [follower]) as ending:
        first = follower.read(wait_ms=0)
        return _answer(_one_queue(front, follower, first), ending)


def stream_of_queues(front: FrontEnd, application: str, caller: Caller) -> Response:
    """Follow the queues that ``queues`` lists; the first read of each decides the status."""
    fields = dict(query())
    problems = Problems()
    names = problems.read("queues", fields.get("queues"), parse_stream_queues)
    if names is None:
        problems.add("queues", "Required")
    asked = fields.pop("cursor", None)
    resumed = header("LAST_EVENT_ID") or asked
    cursors = problems.read("cursor", resumed, parse_stream_cursors) or {}
    problems.refuse_any()
    reading = _live(parse_reading(fields))
    followers = [
        Follower(front, application, name, caller, reading._replace(cursor=cursors.get(name))) for name in names or ()
    ]
    with _admitted(front, followers) as ending:
        firsts = [follower.read(wait_ms=0) for follower in followers]
        stream_cursors_text({page.queue: page.cursor for page in firsts})
        return _answer(_many_queues(front, followers, firsts), ending)


class _Beat:
    """Fills long silences, so that a client which left is noticed and proxies keep the connection.

    Each stream beats in a time of its own: those that all got a message at once are not all silent for as long.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pause_ms = STREAM_HEARTBEAT_MS * 2 // 3 + secrets.randbelow(STREAM_HEARTBEAT_MS // 3)
        self._sent_s = clock.monotonic_s()

    @property
    def wait_ms(self) -> int:
        """How long to wait for messages now."""
        left_ms = self._pause_ms - int((self._clock.monotonic_s() - self._sent_s) * 1000)
        return max(1_000, left_ms)

    def after(self, events: bytes) -> bytes:
        """Return the events; a comment where there are none and there were none for long."""
        now_s = self._clock.monotonic_s()
        if not events and now_s - self._sent_s < self._pause_ms / 1000:
            return b""
        self._sent_s = now_s
        return events or _IDLE


class Ended(NamedTuple):
    """A follower can't go on."""

    error: FailureError


def _one_queue(front: FrontEnd, follower: Follower, first: Page) -> Iterator[bytes]:
    deadline_s = front.clock.monotonic_s() + STREAM_S_MAX
    beat = _Beat(front.clock)
    yield _BEGIN + _shown(first)
    try:
        while front.is_serving() and front.clock.monotonic_s() < deadline_s:
            yield beat.after(_shown(follower.read(wait_ms=beat.wait_ms)))
    except FailureError as error:
        yield _failure(error)


def _shown(page: Page) -> bytes:
    """Return the events of a stream of one queue; those that many streams get are made once."""
    if not page.messages and not page.complete_until:
        return b""
    kept = {} if page.shared is None else page.shared.shown
    shown = kept.get(page.before)
    if shown is None:
        shown = kept[page.before] = _events(page, cursor_text(page.cursor))
    return shown


def _many_queues(front: FrontEnd, followers: list[Follower], firsts: list[Page]) -> Iterator[bytes]:
    deadline_s = front.clock.monotonic_s() + STREAM_S_MAX
    cursors = {page.queue: page.before.cursor for page in firsts if page.before.cursor}
    beat = _Beat(front.clock)
    yield _BEGIN + b"".join([_passed(page, cursors) for page in firsts])
    pages: queues.Queue[Page | Ended] = queues.Queue(STREAM_PAGES_QUEUED_MAX)
    stop = threading.Event()
    for follower in followers:
        threading.Thread(target=_follow, args=(front, follower, pages, stop), daemon=True).start()
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
    return _passed(page, cursors)


def _passed(page: Page, cursors: dict[str, bytes]) -> bytes:
    """Return a page's events; their id leads past this page, and past nothing that others have still to send."""
    cursors[page.queue] = page.cursor
    return _events(page, stream_cursors_text(cursors), name=page.queue)


def _follow(front: FrontEnd, follower: Follower, pages: queues.Queue[Page | Ended], stop: threading.Event) -> None:
    """Read one of several queues, handing pages over as fast as they are sent; ends within one wait."""
    page: Page | Ended
    while not stop.is_set():
        try:
            page = follower.read(wait_ms=STREAM_HEARTBEAT_MS)
        except FailureError as error:
            page = Ended(error)
        serves = front.is_serving()
        if serves and isinstance(page, Page) and not page.messages and not page.complete_until:
            continue
        if not _hand_over(page, pages, stop) or isinstance(page, Ended) or not serves:
            break
    follower.leave()


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


@contextlib.contextmanager
def _admitted(front: FrontEnd, followers: Sequence[Follower]) -> Iterator[contextlib.ExitStack]:
    """Take a stream's place and give it back, once what is to end with the stream has not been taken over."""
    if not front.streams.acquire(blocking=False):
        raise refuse(Code.OVERLOADED, "streams", "too many event streams", 5_000)
    with contextlib.ExitStack() as ending:
        ending.callback(front.streams.release)
        for follower in followers:
            ending.callback(follower.leave)
        yield ending


def _answer(events: Iterator[bytes], ending: contextlib.ExitStack) -> Response:
    """Return the answer, which takes over what is to end with it."""
    response = stream_answer(events, EVENT_STREAM)
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(ending.pop_all().close)
    return response
