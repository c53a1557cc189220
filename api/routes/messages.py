"""Messages: publish, read, and by id."""

from __future__ import annotations

import secrets

from flask import Response, request

from api.responses.answers import done_answer, failure_answer, json_answer
from api.responses.showing import message_list, message_page, publish_answer, publish_refused, worst_failure
from api.routes.front import FrontEnd, note
from api.routes.incoming import header, query, raw_message, read_body
from api.routes.known_queues import KnownQueue
from api.routes.reading import read_operation
from api.routes.streams import stream_of_queue, wants_stream
from api.validation.bodies import parse_json
from api.validation.messages import parse_batch, parse_ids, parse_ids_to_write, parse_overwrite, parse_raw_message
from api.validation.reads import cursor_text, parse_reading
from common.guarantees import Guarantee
from common.limits import REQUEST_BYTES_MAX
from common.protocol.failures import Failure, FailureError
from common.protocol.operations import (
    Caller,
    DeleteMessages,
    Done,
    MessagesRead,
    NewMessage,
    Publish,
    Published,
    PutMessages,
    ReadMessages,
)


def publish(front: FrontEnd, application: str, queue: str) -> Response:
    """``POST /v1/{application}/{queue}``: one raw body, or a JSON batch."""
    caller = front.queue_caller(application, queue)
    is_batch = request.environ.get("CONTENT_TYPE", "").startswith("application/json")
    messages = _batch(front) if is_batch else (_single(front),)
    try:
        published = _publish(front, caller, application, queue, messages)
    except FailureError as error:
        raise error if is_batch else FailureError(_of_single(error.failure)) from None
    front.known_queues.learn(application, queue, KnownQueue(published.partitions, published.guarantee))
    worst = worst_failure(published)
    if worst is None:
        return json_answer(publish_answer(published), 201)
    note().code = worst.code
    worst = worst if is_batch else _of_single(worst)
    response = failure_answer(worst)
    response.data = json_answer(publish_refused(published, worst, is_batch=is_batch)).data
    return response


def read(front: FrontEnd, application: str, queue: str) -> Response:
    """``GET /v1/{application}/{queue}``: a page of the log, or a live stream of it."""
    caller = front.queue_caller(application, queue)
    if wants_stream():
        return stream_of_queue(front, application, queue, caller)
    reading = parse_reading(query())
    found = front.ask(read_operation(application, queue, caller, reading), MessagesRead, wait_ms=reading.wait_ms)
    return json_answer(message_page(found, cursor_text(found.next)))


def read_by_id(front: FrontEnd, application: str, queue: str, ids: str) -> Response:
    """``GET /v1/{application}/{queue}/{ids}``: those that are there."""
    caller = front.queue_caller(application, queue)
    operation = ReadMessages(application=application, caller=caller, queue=queue, ids=parse_ids(ids))
    return json_answer(message_list(front.ask(operation, MessagesRead)))


def put_by_id(front: FrontEnd, application: str, queue: str, ids: str) -> Response:
    """``PUT /v1/{application}/{queue}/{ids}``: write one body to every id, made where missing."""
    caller = front.queue_caller(application, queue)
    wanted = parse_ids_to_write(ids)
    overwrite = parse_overwrite(raw_message(read_body(front.body_bytes_max)), front.body_bytes_max)
    operation = PutMessages(
        application=application,
        caller=caller,
        queue=queue,
        ids=wanted,
        body=overwrite.body,
        ttl_s=overwrite.ttl_s,
        content_type=overwrite.content_type,
        attributes=overwrite.attributes,
    )
    front.ask(operation, Done)
    return done_answer()


def delete_by_id(front: FrontEnd, application: str, queue: str, ids: str) -> Response:
    """``DELETE /v1/{application}/{queue}/{ids}``: gone, whether or not they existed."""
    caller = front.queue_caller(application, queue)
    operation = DeleteMessages(application=application, caller=caller, queue=queue, ids=parse_ids(ids))
    front.ask(operation, Done)
    return done_answer()


def _single(front: FrontEnd) -> NewMessage:
    return parse_raw_message(raw_message(read_body(front.body_bytes_max)), front.body_bytes_max)


def _batch(front: FrontEnd) -> tuple[NewMessage, ...]:
    content = parse_json(read_body(REQUEST_BYTES_MAX))
    return parse_batch(content, front.body_bytes_max, idempotency_key=header("IDEMPOTENCY_KEY"))


def _publish(
    front: FrontEnd, caller: Caller, application: str, queue: str, messages: tuple[NewMessage, ...]
) -> Published:
    """Fix what a second attempt must not choose anew, then send.

    Another node may be asked although the first may have stored it only if both would store it once: every message
    has the client's own key, whose row tells the partition; or the queue is known to be exactly_once, and no attempt
    picks a partition.
    """
    known = front.known_queues.get(application, queue)
    partition = 0 if known is None else 1 if known.partitions == 1 else 1 + secrets.randbelow(known.partitions)
    is_fixed = partition > 0 or all(message.partition or message.partition_key for message in messages)
    is_once = known is not None and known.guarantee is Guarantee.EXACTLY_ONCE
    operation = Publish(
        application=application,
        caller=caller,
        queue=queue,
        messages=messages,
        partition=partition,
        attempt_key=front.ids.next(),
    )
    fail_over = (is_once and is_fixed) or all(message.idempotency_key for message in messages)
    return front.ask(operation, Published, fail_over=fail_over)


def _of_single(failure: Failure) -> Failure:
    """Return a failure of a batch of one under the field names of a raw body."""
    more = {field.removeprefix("0."): text for field, text in failure.more.items()}
    return Failure(failure.code, failure.field.removeprefix("0."), failure.text, failure.retry_after_ms, more)
