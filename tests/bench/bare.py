"""The ceiling: a bare Flask endpoint that answers what a publish of one message answers, under the same gunicorn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Final

import msgspec
from flask import Flask, Response, request

from api.responses.shapes import MessageStored, PublishAnswer
from common.guarantees import Guarantee

_ANSWER: Final = PublishAnswer(
    messages=[MessageStored(key="1" * 32, timestamp="1764020000.1234567", partition=1)],
    guarantee=Guarantee.AT_LEAST_ONCE,
)
_encode: Final = msgspec.json.Encoder().encode

app = Flask("bare", static_folder=None)
app.extensions["front"] = SimpleNamespace(is_serving=lambda: True)
app.extensions["pulse"] = SimpleNamespace(start=lambda: None)
app.extensions["end_waits"] = lambda: None


@app.post("/v1/<application>/<queue>")
def publish(application: str, queue: str) -> Response:
    """Read the body, answer JSON."""
    request.get_data(cache=False)
    return Response(_encode(_ANSWER), 201, content_type="application/json; charset=utf-8")


@app.get("/__ready__")
def ready() -> str:
    """Say that it serves."""
    return "ok"
