"""Puts the document together: once per process, on the first request for it."""

from __future__ import annotations

from functools import cache
from typing import Final, cast

import msgspec

from api.openapi.calls import ANYONE, CALLS, Call, Json, path_parameters
from api.responses.shapes import ErrorAnswer, PublishRefused
from api.responses.statuses import MEANINGS

_JSON: Final = "application/json"
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
_RETRIED: Final = frozenset({429, 503})
_UNREAD: Final = {
    414: "`invalid_request`: the request's line is too long; refused before it is read",
    431: "`invalid_request`: the request's headers are too many or too long; refused before they are read",
}
"""Refusals of what never became a request, without an id."""


@cache
def document_bytes() -> bytes:
    """Return the document as JSON."""
    return msgspec.json.encode(document())


def document() -> Json:
    """Return the document."""
    references, components = _schemas()
    paths: dict[str, Json] = {}
    for call in CALLS:
        paths.setdefault(call.path, {})[call.method] = _operation(call, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Queuey",
            "version": "1",
            "license": {"name": "MPL-2.0", "identifier": "MPL-2.0"},
            "description": "A message queue over HTTP. Trailing and doubled slashes mean nothing. "
            "Unknown fields are ignored; an empty value counts as not given.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "application": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`Application <key>`; several credentials are joined by `;`",
                },
                "link": {"type": "apiKey", "in": "query", "name": "link", "description": "a capability link"},
            },
        },
    }


def _schemas() -> tuple[dict[type, Json], Json]:
    """Return a reference for every struct that calls name, and the schemas that they lead to."""
    types: list[type] = [ErrorAnswer, PublishRefused]
    types += [kind for call in CALLS for kind in (call.answer, call.body) if kind is not None]
    unique = list(dict.fromkeys(types))
    references, components = msgspec.json.schema_components(unique, ref_template="#/components/schemas/{name}")
    return dict(zip(unique, references, strict=True)), cast(Json, components)


def _operation(call: Call, references: dict[type, Json]) -> Json:
    operation: Json = {
        "operationId": call.name,
        "summary": call.summary,
        "parameters": [*path_parameters(call.path), *call.parameters],
        "responses": _responses(call, references),
    }
    if call.refusals[-1:] != ANYONE and 401 in call.refusals:
        operation["security"] = [{"application": []}, {"link": []}, {}]
    bodies = _bodies(call, references)
    if bodies:
        operation["requestBody"] = {"required": call.is_body_required, "content": bodies}
    return operation


def _bodies(call: Call, references: dict[type, Json]) -> Json:
    content: Json = {}
    if call.body is not None:
        kinds = (_JSON, *_FORMS) if call.is_form else (_JSON,)
        content = {kind: {"schema": references[call.body]} for kind in kinds}
    return content | call.more_bodies


def _responses(call: Call, references: dict[type, Json]) -> Json:
    content: Json = {} if call.answer is None else {_JSON: {"schema": references[call.answer]}}
    good = {"description": "done", "headers": _headers(), "content": content | call.more_content}
    refusals: Json = {str(status): _refusal(call, status, references) for status in call.refusals}
    unread: Json = {str(status): _error(text, references[ErrorAnswer]) for status, text in _UNREAD.items()}
    return {str(call.status): good} | refusals | unread


def _refusal(call: Call, status: int, references: dict[type, Json]) -> Json:
    codes = [f"`{code}`: {meaning.when}" for code, meaning in MEANINGS.items() if meaning.status == status]
    schema = references[ErrorAnswer]
    if call.name == "publish":
        schema = {"anyOf": [schema, references[PublishRefused]]}
    return {**_error("; ".join(codes) or "refused", schema), "headers": _headers(retried=status in _RETRIED)}


def _error(text: str, schema: Json) -> Json:
    return {"description": text, "content": {_JSON: {"schema": schema}}}


def _headers(*, retried: bool = False) -> Json:
    headers: Json = {"X-Request-Id": {"schema": {"type": "string"}, "description": "taken over from the request"}}
    if retried:
        headers["Retry-After"] = {"schema": {"type": "integer"}, "description": "seconds"}
    return headers
