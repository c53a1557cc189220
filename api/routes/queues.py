"""Queues: list, create, change, drop, their settings, purge."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Final

from flask import Response

from api.responses.answers import ENCODER, JSON, done_answer, json_answer, stream_answer
from api.responses.shapes import QueueList
from api.responses.showing import queue_changed, queue_listed
from api.routes.front import FrontEnd
from api.routes.incoming import query, read_settings
from api.routes.known_queues import KnownQueue
from api.routes.streams import stream_of_queues, wants_stream
from api.validation.queues import Listing, parse_listing, parse_new_queue, parse_queue_change
from common.limits import LIST_QUEUES_PAGE_MAX
from common.protocol.operations import (
    Caller,
    CreateQueue,
    DeleteQueue,
    DescribeQueue,
    Done,
    ListQueues,
    PurgeQueue,
    QueueInfo,
    QueuesListed,
    UpdateQueue,
)

_COUNTED_PAGE: Final = 100
"""Queues asked for at once where each is counted."""


def list_queues(front: FrontEnd, application: str) -> Response:
    """``GET /v1/{application}``: all queues in one reply unless ``limit`` says otherwise."""
    caller = front.caller(application)
    if wants_stream():
        return stream_of_queues(front, application, caller)
    listing = parse_listing(query())
    pages = _pages(front, application, caller, listing)
    first = next(pages)
    second = next(pages, None)
    if second is None:
        queues = [queue_listed(info, details=listing.details) for info in first]
        return json_answer(QueueList(queues=queues))
    return stream_answer(_list_chunks(first, second, pages, details=listing.details), JSON)


def create_queue(front: FrontEnd, application: str) -> Response:
    """``POST /v1/{application}``: make a queue; of one that exists, change what was sent."""
    caller = front.caller(application)
    name, settings = parse_new_queue(read_settings())
    operation = CreateQueue(application=application, caller=caller, queue=name or uuid.uuid4().hex, settings=settings)
    info = front.ask(operation, QueueInfo)
    front.known_queues.learn(application, info.queue, KnownQueue(info.partitions, info.guarantee))
    return json_answer(queue_changed(info, principles_as_list=False), 201)


def update_queue(front: FrontEnd, application: str, queue: str) -> Response:
    """``PUT /v1/{application}/{queue}``: change what was sent."""
    caller = front.queue_caller(application, queue)
    settings = parse_queue_change(read_settings())
    operation = UpdateQueue(application=application, caller=caller, queue=queue, settings=settings)
    info = front.ask(operation, QueueInfo)
    front.known_queues.learn(application, queue, KnownQueue(info.partitions, info.guarantee))
    return json_answer(queue_changed(info, principles_as_list=True))


def delete_queue(front: FrontEnd, application: str, queue: str) -> Response:
    """``DELETE /v1/{application}/{queue}``: gone at once."""
    caller = front.queue_caller(application, queue)
    front.ask(DeleteQueue(application=application, caller=caller, queue=queue), Done)
    front.known_queues.forget(application, queue)
    return done_answer()


def show_settings(front: FrontEnd, application: str, queue: str) -> Response:
    """``GET /v1/{application}/{queue}/settings``: the queue's options and its guarantee."""
    caller = front.queue_caller(application, queue)
    info = front.ask(DescribeQueue(application=application, caller=caller, queue=queue), QueueInfo)
    return json_answer(queue_changed(info, principles_as_list=True))


def purge_queue(front: FrontEnd, application: str, queue: str) -> Response:
    """``POST /v1/{application}/{queue}/purge``: empty it, keep its settings."""
    caller = front.queue_caller(application, queue)
    front.ask(PurgeQueue(application=application, caller=caller, queue=queue), Done)
    return done_answer()


def _pages(front: FrontEnd, application: str, caller: Caller, listing: Listing) -> Iterator[tuple[QueueInfo, ...]]:
    """Yield pages of queues until the client's limit or the end; at least one."""
    page_max = _COUNTED_PAGE if listing.include_count else LIST_QUEUES_PAGE_MAX
    left, offset = listing.limit, listing.offset
    while True:
        operation = ListQueues(
            application=application,
            caller=caller,
            offset=offset,
            limit=page_max if left is None else min(left, page_max),
            include_count=listing.include_count,
        )
        page = front.ask(operation, QueuesListed)
        yield page.queues
        left = None if left is None else left - len(page.queues)
        offset = page.next
        if offset is None or left == 0:
            return


def _list_chunks(
    first: tuple[QueueInfo, ...],
    second: tuple[QueueInfo, ...],
    pages: Iterator[tuple[QueueInfo, ...]],
    *,
    details: bool,
) -> Iterator[bytes]:
    """Yield a long list page by page: a failure on the way breaks the answer off, which no client takes for whole."""
    yield b'{"status":"ok","queues":[' + _joined(first, details=details)
    if second:
        yield b"," + _joined(second, details=details)
    for page in pages:
        if page:
            yield b"," + _joined(page, details=details)
    yield b"]}"


def _joined(page: tuple[QueueInfo, ...], *, details: bool) -> bytes:
    return ENCODER.encode([queue_listed(info, details=details) for info in page])[1:-1]
