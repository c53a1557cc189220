"""Server-sent events: live, resumable, several queues in one stream."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import NamedTuple

import requests

from common.identifiers import id_from_hex
from tests.support.deployment import Api
from tests.support.http_calls import bodies, new_queue, post, post_batch, refusal

EVENTS = {"Accept": "text/event-stream"}


class Event(NamedTuple):
    """One event as a browser would hand it over."""

    data: dict[str, object]
    last_event_id: str
    name: str = "message"


def events(reply: requests.Response) -> Iterator[Event]:
    """Parse a stream."""
    last_event_id, name, data = "", "message", ""
    for line in reply.iter_lines(chunk_size=1, decode_unicode=True):
        field, _, value = line.partition(": ")
        if field == "id":
            last_event_id = value
        elif field == "event":
            name = value
        elif field == "data":
            data = value
        elif not line and data:
            yield Event(json.loads(data), last_event_id, name)
            name, data = "message", ""


def fresh(stream: Iterator[Event], seen: list[Event]) -> Event:
    """Return the next event that was not seen, as clients do, and see it; a plain log repeats what is young."""
    known = {event.data["message_id"] for event in seen}
    seen.append(next(event for event in stream if event.data["message_id"] not in known))
    return seen[-1]


@contextlib.contextmanager
def following(
    api: Api, path: str, headers: dict[str, str] | None = None, *, with_complete: bool = False
) -> Iterator[Iterator[Event]]:
    """Open a stream for one block; what may be forgotten is told only where asked for."""
    with api.get(path, headers={**EVENTS, **(headers or {})}, stream=True) as reply:
        assert reply.status_code == 200, reply.text
        assert reply.headers["Content-Type"] == "text/event-stream"
        yield (event for event in events(reply) if with_complete or event.name != "complete")


def test_a_stream_begins_with_what_is_there_and_goes_on_live(api: Api) -> None:
    """Each message as its reads show it."""
    queue = new_queue(api)
    post(api, queue, "before")
    with following(api, queue) as stream:
        first = next(stream)
        assert first.data["body"] == "before"
        assert set(first.data) >= {"message_id", "timestamp", "partition"}
        for number in range(3):
            post(api, queue, f"live {number}")
            assert next(stream).data["body"] == f"live {number}"


def test_a_stream_says_what_may_be_forgotten(api: Api) -> None:
    """After each message, up to where nothing can appear any more; a resume from there brings what is newer."""
    queue = new_queue(api)
    stored = post(api, queue, "one")
    with following(api, queue, with_complete=True) as stream:
        assert next(stream).data["message_id"] == stored["key"]
        complete = next(stream)
    assert complete.name == "complete"
    until = complete.data["complete_until"]
    assert isinstance(until, dict)
    assert id_from_hex(str(until["1"])) >= id_from_hex(str(stored["key"]))
    post(api, queue, "two")
    with following(api, queue, {"Last-Event-ID": complete.last_event_id}) as stream:
        assert next(stream).data["body"] == "two"


def test_a_stream_resumes_from_its_last_event_id(api: Api) -> None:
    """Nothing is skipped; nothing that was complete comes twice."""
    queue = new_queue(api, partitions=2)
    post_batch(api, queue, *[{"body": str(number), "partition": 1 + number % 2} for number in range(4)])
    with following(api, f"{queue}?partitions=all") as stream:
        seen = [next(stream) for _ in range(4)]
    post_batch(api, queue, {"body": "new 1", "partition": 1}, {"body": "new 2", "partition": 2})
    with following(api, queue, {"Last-Event-ID": seen[-1].last_event_id}) as stream:
        assert sorted(str(fresh(stream, seen).data["body"]) for _ in range(2)) == ["new 1", "new 2"]


def test_several_queues_are_followed_in_one_stream(api: Api) -> None:
    """Each event names its queue; one id resumes them all."""
    names = [new_queue(api) for _ in range(3)]
    post(api, names[0], "first")
    path = f"?queues={','.join(names)}"
    with following(api, path) as stream:
        seen = [next(stream)]
        for name in names:
            post(api, name, f"to {name}")
            seen.append(next(stream))
    assert [event.data["queue"] for event in seen] == [names[0], *names]
    post(api, names[2], "after")
    with following(api, path, {"Last-Event-ID": seen[-1].last_event_id}) as stream:
        assert bodies([fresh(stream, seen).data]) == ["after"]


def test_an_id_of_several_queues_leads_past_nothing_that_was_not_sent(api: Api) -> None:
    """A connection that breaks between the first pages of two queues loses nothing of the second."""
    names = [new_queue(api) for _ in range(2)]
    for name in names:
        post(api, name, f"of {name}")
    path = f"?queues={','.join(names)}"
    with following(api, path) as stream:
        first = next(stream)
    assert first.data["queue"] == names[0]
    with following(api, path, {"Last-Event-ID": first.last_event_id}) as stream:
        assert fresh(stream, [first]).data["body"] == f"of {names[1]}"


def test_a_stream_that_began_at_a_cursor_resumes_from_its_last_event_id(api: Api) -> None:
    """A browser sends the same URL again, with the id beside it: the id is the later place."""
    queue = new_queue(api)
    post(api, queue, "one")
    with following(api, f"?queues={queue}") as stream:
        seen = [next(stream)]
    path = f"?queues={queue}&cursor={seen[0].last_event_id}"
    post(api, queue, "two")
    with following(api, path) as stream:
        fresh(stream, seen)
    post(api, queue, "three")
    with following(api, path, {"Last-Event-ID": seen[-1].last_event_id}) as stream:
        assert fresh(stream, seen).data["body"] == "three"


def test_a_stream_may_begin_at_a_time_or_an_id(api: Api) -> None:
    """As a read."""
    queue = new_queue(api)
    stored = [post(api, queue, str(number)) for number in range(3)]
    for since in (stored[1]["key"], stored[1]["timestamp"]):
        with following(api, f"{queue}?since={since}") as stream:
            assert [next(stream).data["body"] for _ in range(2)] == ["1", "2"]


def test_what_can_not_be_followed_is_refused_before_the_stream_begins(api: Api, anonymous: Api) -> None:
    """With the status of a read."""
    queue = new_queue(api)
    assert refusal(anonymous.get(queue, headers=EVENTS), 403, "access_denied")
    assert refusal(api.get("missing", headers=EVENTS), 404, "queue_not_found")
    assert refusal(api.get("?queues=missing", headers=EVENTS), 404, "queue_not_found")
    assert set(refusal(api.get("", headers=EVENTS), 400, "invalid_request")) == {"queues"}
    assert set(refusal(api.get(f"{queue}?order=descending", headers=EVENTS), 400, "invalid_request")) == {"order"}
    many = ",".join(f"q{number}" for number in range(21))
    assert set(refusal(api.get(f"?queues={many}", headers=EVENTS), 400, "invalid_request")) == {"queues"}
    assert refusal(api.get(queue, headers={**EVENTS, "Last-Event-ID": "?"}), 400, "invalid_request")
