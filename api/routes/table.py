"""Every path and method, and what answers it; the OpenAPI document describes exactly these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, Final, NamedTuple

from flask import Response

from api.routes import delivery, health, links, messages, queues
from api.routes.front import FrontEnd

View = Callable[Concatenate[FrontEnd, ...], Response]


class Route(NamedTuple):
    """One call."""

    method: str
    path: str
    """As Flask's rules."""
    name: str
    """In logs and, as ``operationId``, in the OpenAPI document."""
    view: View


_APPLICATION: Final = "/v1/<application>"
_QUEUE: Final = f"{_APPLICATION}/<queue:queue>"
_IDS: Final = f"{_QUEUE}/<ids:ids>"

ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/__live__", "live", health.live),
    Route("GET", "/__ready__", "ready", health.ready),
    Route("GET", "/openapi.json", "openapi", health.openapi),
    Route("GET", _APPLICATION, "list_queues", queues.list_queues),
    Route("POST", _APPLICATION, "create_queue", queues.create_queue),
    Route("POST", f"{_APPLICATION}/_links/revocations", "revoke_links", links.revoke_links),
    Route("GET", _QUEUE, "read", messages.read),
    Route("POST", _QUEUE, "publish", messages.publish),
    Route("PUT", _QUEUE, "update_queue", queues.update_queue),
    Route("DELETE", _QUEUE, "delete_queue", queues.delete_queue),
    Route("GET", _IDS, "read_messages", messages.read_by_id),
    Route("PUT", _IDS, "put_messages", messages.put_by_id),
    Route("DELETE", _IDS, "delete_messages", messages.delete_by_id),
    Route("GET", f"{_QUEUE}/settings", "show_settings", queues.show_settings),
    Route("POST", f"{_QUEUE}/purge", "purge_queue", queues.purge_queue),
    Route("POST", f"{_QUEUE}/claims", "claim", delivery.claim),
    Route("POST", f"{_QUEUE}/acks", "ack", delivery.ack),
    Route("GET", f"{_QUEUE}/acks/<receipt>", "ask_receipt", delivery.ask_receipt),
    Route("POST", f"{_QUEUE}/releases", "release", delivery.release),
    Route("POST", f"{_QUEUE}/extensions", "extend", delivery.extend),
    Route("GET", f"{_QUEUE}/groups", "list_groups", delivery.list_groups),
    Route("PUT", f"{_QUEUE}/groups/<group>", "seek_group", delivery.seek_group),
    Route("POST", f"{_QUEUE}/redrive", "redrive", delivery.redrive),
)

HEARTBEAT: Final = Route("GET", "/__heartbeat__", "heartbeat", health.heartbeat)
"""Answers every method, as v1's does."""

WORDS_AFTER_QUEUE: Final = ("settings", "purge", "claims", "acks", "releases", "extensions", "groups", "redrive")
"""What can't be a list of ids in a URL."""
