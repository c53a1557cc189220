"""Is it there, and what can it do: answered without a key."""

from __future__ import annotations

from flask import Response

from api.openapi import document_bytes
from api.responses.answers import JSON, bytes_answer, done_answer
from api.routes.front import FrontEnd
from common.protocol.failures import Code, refuse


def heartbeat(_: FrontEnd) -> Response:
    """``/__heartbeat__``: this front end runs; v1's clients ask with HEAD."""
    return bytes_answer(b"OK", "text/plain; charset=utf-8")


def live(_: FrontEnd) -> Response:
    """``GET /__live__``: this front end runs; asks nobody."""
    return done_answer()


def ready(front: FrontEnd) -> Response:
    """``GET /__ready__``: a storage node and its store answer, and this front end goes on serving."""
    if not front.is_serving():
        raise refuse(Code.UNAVAILABLE, "front_end", "is going away")
    if not front.node_client.ready():
        raise refuse(Code.UNAVAILABLE, "node", "no storage node answers for its store")
    return done_answer()


def openapi(_: FrontEnd) -> Response:
    """``GET /openapi.json``: the description of this interface."""
    return bytes_answer(document_bytes(), JSON)
