"""Every call as the document describes it: parameters, bodies, answers, and the refusals it may meet."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from api.openapi import inputs
from api.responses import shapes
from common.limits import (
    CURSOR_BYTES_MAX,
    IDEMPOTENCY_KEY_CHARS_MAX,
    NAME_PATTERN,
    PARTITION_KEY_CHARS_MAX,
    PARTITIONS_MAX,
    READ_LIMIT_DEFAULT,
    READ_LIMIT_MAX,
    TTL_S_MAX,
    TTL_S_MIN,
    WAIT_MS_MAX,
)

Json = dict[str, object]

ANYONE: Final = (500,)
"""Refusals of a call that needs no key and no node."""
APPLICATION: Final = (400, 401, 403, 404, 413, 429, 500, 503)
"""Refusals of a call on an application or a queue."""
DELIVERY: Final = (*APPLICATION, 409)
PUBLISH: Final = (*APPLICATION, 422)

ANY_BYTES: Final[Json] = {"*/*": {"schema": {"type": "string", "format": "binary", "minLength": 1}}}
EVENTS: Final[Json] = {"text/event-stream": {"schema": {"type": "string"}}}
TEXT: Final[Json] = {"text/plain": {"schema": {"type": "string"}}}
ANY_JSON: Final[Json] = {"application/json": {"schema": {"type": "object"}}}


class Call(NamedTuple):
    """One operation of the document."""

    method: str
    path: str
    name: str
    summary: str
    answer: type[msgspec.Struct] | None = shapes.Ok
    status: int = 200
    more_content: Json = {}
    """Further forms of the good answer."""
    parameters: tuple[Json, ...] = ()
    body: type[msgspec.Struct] | None = None
    is_form: bool = False
    more_bodies: Json = {}
    is_body_required: bool = False
    refusals: tuple[int, ...] = APPLICATION


def _query(name: str, schema: Json, description: str = "") -> Json:
    return {"in": "query", "name": name, "schema": schema, "description": description}


def _header(name: str, schema: Json, description: str = "") -> Json:
    return {"in": "header", "name": name, "schema": schema, "description": description}


def _in_path(name: str, schema: Json) -> Json:
    return {"in": "path", "name": name, "required": True, "schema": schema}


_NAME: Final[Json] = {"type": "string", "pattern": f"^{NAME_PATTERN}$"}
_FLAG: Final[Json] = {"type": "string"}
_ID: Final[Json] = {"type": "string", "pattern": "^[0-9a-f]{12}1[0-9a-f]{19}$"}
_INSTANT: Final[Json] = {
    "type": "string",
    "pattern": "^([0-9]{1,15}(\\.[0-9]{1,7})?|[0-9a-f]{12}1[0-9a-f]{19})$",
}
_PARTITION: Final[Json] = {"type": "integer", "minimum": 1, "maximum": PARTITIONS_MAX}
_TTL: Final[Json] = {"type": "integer", "minimum": TTL_S_MIN, "maximum": TTL_S_MAX}
_ONE_ID: Final = "([0-9]{1,3}:)?[0-9a-fA-F]{32}"

APPLICATION_PATH: Final = _in_path("application", {"type": "string", "minLength": 1})
QUEUE_PATH: Final = _in_path("queue", _NAME)
_PATHS: Final = {
    "application": APPLICATION_PATH,
    "queue": QUEUE_PATH,
    "ids": _in_path("ids", {"type": "string", "pattern": f"^{_ONE_ID}(,{_ONE_ID}){{0,99}}$"}),
    "receipt": _in_path("receipt", {"type": "string", "minLength": 1, "maxLength": 200}),
    "group": _in_path("group", _NAME),
}
_MESSAGE_HEADERS: Final = (_header("X-TTL", _TTL, "seconds"),)
_PUBLISH_HEADERS: Final = (
    *_MESSAGE_HEADERS,
    _header("X-Partition", _PARTITION),
    _header("X-Partition-Key", {"type": "string", "maxLength": PARTITION_KEY_CHARS_MAX}, "same key, same partition"),
    _header("X-Delay", {"type": "number", "minimum": 0, "maximum": TTL_S_MAX}, "seconds, up to three decimals"),
    _header("Idempotency-Key", {"type": "string", "maxLength": IDEMPOTENCY_KEY_CHARS_MAX}),
)
_READ_QUERY: Final = (
    _query("since", _INSTANT, "inclusive: a time in seconds or a message id; the upper end if descending"),
    _query("after", _INSTANT, "exclusive `since`"),
    _query("until", _INSTANT, "inclusive other end"),
    _query("cursor", {"type": "string", "maxLength": CURSOR_BYTES_MAX}, "a `next` of before"),
    _query(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": READ_LIMIT_MAX, "default": READ_LIMIT_DEFAULT},
        "messages per partition",
    ),
    _query("order", {"type": "string", "enum": ["ascending", "descending"]}),
    _query(
        "partitions",
        {"type": "string", "pattern": "^(all|[0-9]{1,3}(,[0-9]{1,3})*)$"},
        "in the order wanted, or `all`; default 1",
    ),
    _query("wait", {"type": "number", "minimum": 0, "maximum": WAIT_MS_MAX // 1000}, "seconds to wait for a message"),
)
_LIST_QUERY: Final = (
    _query("limit", {"type": "integer", "minimum": 1}, "default: all queues"),
    _query("offset", _NAME, "inclusive"),
    _query("details", _FLAG, "all but `false` and `0` means yes"),
    _query("include_count", _FLAG, "implies details"),
    _query("queues", {"type": "string"}, "with `Accept: text/event-stream`: the queues to follow"),
)

_APP: Final = "/v1/{application}"
_QUEUE: Final = "/v1/{application}/{queue}"

CALLS: Final[tuple[Call, ...]] = (
    Call("get", "/__heartbeat__", "heartbeat", "This front end runs", None, more_content=TEXT, refusals=ANYONE),
    Call("get", "/__live__", "live", "This front end runs; asks nobody", refusals=ANYONE),
    Call("get", "/__ready__", "ready", "A storage node and its store answer", refusals=(500, 503)),
    Call("get", "/openapi.json", "openapi", "This document", None, more_content=ANY_JSON, refusals=ANYONE),
    Call("get", _APP, "list_queues", "List queues", shapes.QueueList, more_content=EVENTS, parameters=_LIST_QUERY),
    Call(
        "post", _APP, "create_queue", "Create a queue", shapes.QueueChanged, 201, body=inputs.NewQueue, is_form=True
    ),
    Call("post", f"{_APP}/_links/revocations", "revoke_links", "Revoke links", body=inputs.RevocationBody),
    Call("get", _QUEUE, "read", "Read messages", shapes.MessagePage, more_content=EVENTS, parameters=_READ_QUERY),
    Call(
        "post",
        _QUEUE,
        "publish",
        "Publish one raw body, or a JSON batch",
        shapes.PublishAnswer,
        201,
        parameters=_PUBLISH_HEADERS,
        body=inputs.Batch,
        more_bodies=ANY_BYTES,
        is_body_required=True,
        refusals=PUBLISH,
    ),
    Call("put", _QUEUE, "update_queue", "Change a queue", shapes.QueueChanged, body=inputs.QueueChange, is_form=True),
    Call("delete", _QUEUE, "delete_queue", "Drop a queue"),
    Call("get", f"{_QUEUE}/{{ids}}", "read_messages", "Read messages by id", shapes.MessageList),
    Call(
        "put",
        f"{_QUEUE}/{{ids}}",
        "put_messages",
        "Write one body to every id",
        parameters=_MESSAGE_HEADERS,
        more_bodies=ANY_BYTES,
        is_body_required=True,
    ),
    Call("delete", f"{_QUEUE}/{{ids}}", "delete_messages", "Delete messages by id"),
    Call("get", f"{_QUEUE}/settings", "show_settings", "A queue's options and guarantee", shapes.QueueChanged),
    Call("post", f"{_QUEUE}/purge", "purge_queue", "Empty a queue without losing it"),
    Call(
        "post",
        f"{_QUEUE}/claims",
        "claim",
        "Take messages, settling others before",
        shapes.ClaimAnswer,
        body=inputs.ClaimBody,
        refusals=DELIVERY,
    ),
    Call("post", f"{_QUEUE}/acks", "ack", "Settle", shapes.SettleAnswer, body=inputs.AckBody, refusals=DELIVERY),
    Call(
        "get",
        f"{_QUEUE}/acks/{{receipt}}",
        "ask_receipt",
        "Did my ack count?",
        shapes.ReceiptAnswer,
        refusals=DELIVERY,
    ),
    Call(
        "post",
        f"{_QUEUE}/releases",
        "release",
        "Give back, now or later",
        shapes.SettleAnswer,
        body=inputs.ReleaseBody,
        refusals=DELIVERY,
    ),
    Call(
        "post",
        f"{_QUEUE}/extensions",
        "extend",
        "Hold longer",
        shapes.SettleAnswer,
        body=inputs.ExtensionBody,
        refusals=DELIVERY,
    ),
    Call("get", f"{_QUEUE}/groups", "list_groups", "Progress of all consumer groups", shapes.GroupList),
    Call(
        "put",
        f"{_QUEUE}/groups/{{group}}",
        "seek_group",
        "Rewind or skip",
        body=inputs.SeekBody,
        is_body_required=True,
        refusals=DELIVERY,
    ),
    Call(
        "post",
        f"{_QUEUE}/redrive",
        "redrive",
        "Move dead letters back",
        shapes.RedriveAnswer,
        body=inputs.RedriveBody,
        refusals=DELIVERY,
    ),
)


def path_parameters(path: str) -> list[Json]:
    """Return the parameters that a path's template names."""
    return [parameter for name, parameter in _PATHS.items() if f"{{{name}}}" in path]
