"""The request being served -> raw values: body, query, form, headers; bounded, and never trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, cast
from urllib.parse import parse_qsl

from flask import request
from werkzeug.exceptions import HTTPException

from api.routes.front import note
from api.validation.bodies import parse_object
from api.validation.messages import RawMessage
from common.limits import DELIVERY_REQUEST_BYTES_MAX, FORM_BYTES_MAX, QUERY_FIELDS_MAX, REQUEST_BYTES_MAX
from common.protocol.failures import Code, FailureError, refuse

_ATTRIBUTE_PREFIX: Final = "HTTP_X_ATTR_"
_DISCARD_STEP_BYTES: Final = 64 << 10


class _Input(Protocol):
    """The server's stream of a request body."""

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes, fewer only at the end."""


def read_body(bytes_max: int) -> bytes:
    """Return the whole request body.

    Raises:
        FailureError: ``body_too_large``, told by its length or as soon as more has come;
            ``invalid_request`` where it ends early or is framed wrongly.
    """
    environ = request.environ
    declared = _declared_length(environ.get("CONTENT_LENGTH"))
    stream = cast(_Input, environ["wsgi.input"])
    if declared is None and not environ.get("wsgi.input_terminated"):
        return b""
    if declared is not None and declared > bytes_max:
        if declared > REQUEST_BYTES_MAX:
            _close_after_answer(stream)
        raise _too_large(bytes_max)
    body = _read(stream, bytes_max + 1)
    if len(body) > bytes_max:
        _discard(stream)
        raise _too_large(bytes_max)
    if declared is not None and len(body) < declared:
        raise refuse(Code.INVALID_REQUEST, "body", "ends before its Content-Length")
    note().body_bytes += len(body)
    return body


def read_object() -> Mapping[str, object]:
    """Return the JSON object of a delivery call's body, an empty one for an empty body.

    Raises:
        FailureError: ``body_too_large``, ``invalid_parameter``, or ``invalid_request``.
    """
    return parse_object(read_body(DELIVERY_REQUEST_BYTES_MAX))


def read_settings() -> Mapping[str, object]:
    """Return the fields of a queue's creation or change: a form of either kind, or JSON.

    A body of another content type is read as a form where it looks like one; the last of repeated fields counts.

    Raises:
        FailureError: ``body_too_large``, ``invalid_parameter``, or ``invalid_request``.
    """
    content_type = request.environ.get("CONTENT_TYPE", "")
    if content_type.startswith("multipart/form-data"):
        return _multipart()
    body = read_body(FORM_BYTES_MAX)
    if content_type.startswith("application/json"):
        return parse_object(body)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise refuse(Code.INVALID_PARAMETER, "InvalidParameter", "the form is not UTF-8") from None
    return _pairs(text)


def query() -> Mapping[str, str]:
    """Return the query's fields; the last of repeated ones counts.

    Raises:
        FailureError: ``invalid_request``: too many fields.
    """
    text = request.environ.get("QUERY_STRING", "")
    return _pairs(text) if text else {}


def header(name: str) -> str | None:
    """Return a header by its CGI name, such as ``X_TTL``, as UTF-8; ``None`` without it.

    Raises:
        FailureError: ``invalid_request``: it is not UTF-8.
    """
    return _header(request.environ, "HTTP_" + name)


def raw_message(body: bytes) -> RawMessage:
    """Return the message that a raw body and its headers make."""
    environ = request.environ
    return RawMessage(
        body=body,
        partition=_header(environ, "HTTP_X_PARTITION"),
        ttl=_header(environ, "HTTP_X_TTL"),
        delay=_header(environ, "HTTP_X_DELAY"),
        partition_key=_header(environ, "HTTP_X_PARTITION_KEY"),
        idempotency_key=_header(environ, "HTTP_IDEMPOTENCY_KEY"),
        content_type=_header(environ, "CONTENT_TYPE") or None,
        attributes=_attributes(environ),
    )


def _header(environ: Mapping[str, str], name: str) -> str | None:
    value = environ.get(name)
    return None if value is None else _utf8(name, value)


def _attributes(environ: Mapping[str, str]) -> dict[str, str]:
    names = [key for key in environ if key.startswith(_ATTRIBUTE_PREFIX)]
    return {
        name.removeprefix(_ATTRIBUTE_PREFIX).lower().replace("_", "-"): _utf8(name, environ[name]) for name in names
    }


def _utf8(name: str, value: str) -> str:
    """WSGI hands header bytes over as Latin-1."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        field = name.removeprefix("HTTP_").replace("_", "-").title()
        raise refuse(Code.INVALID_REQUEST, field, "is not UTF-8") from None


def _pairs(text: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=QUERY_FIELDS_MAX))
    except ValueError:
        raise refuse(Code.INVALID_REQUEST, "query", f"more than {QUERY_FIELDS_MAX} fields") from None


def _multipart() -> Mapping[str, object]:
    if "boundary" not in request.mimetype_params:
        raise refuse(Code.INVALID_PARAMETER, "InvalidParameter", "the form's Content-Type names no boundary")
    request.max_content_length = FORM_BYTES_MAX
    request.max_form_memory_size = FORM_BYTES_MAX
    request.max_form_parts = QUERY_FIELDS_MAX
    try:
        return {name: values[-1] for name, values in request.form.lists()}
    except HTTPException as error:
        if error.code == 413:
            raise _too_large(FORM_BYTES_MAX) from None
        raise refuse(Code.INVALID_PARAMETER, "InvalidParameter", "the form can't be read") from None


def _declared_length(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or not text.isascii() or len(text) > 18:
        raise refuse(Code.INVALID_REQUEST, "Content-Length", "is not a number of bytes")
    return int(text)


def _read(stream: _Input, size: int) -> bytes:
    try:
        return stream.read(size)
    except Exception:
        # Servers have their own errors for a body that breaks off or is framed wrongly, without a common base.
        raise refuse(Code.INVALID_REQUEST, "body", "could not be read") from None


def _discard(stream: _Input) -> None:
    """Read a little further, so that a client which sends all before it listens hears the answer."""
    left = REQUEST_BYTES_MAX
    while left > 0:
        chunk = _read(stream, _DISCARD_STEP_BYTES)
        if not chunk:
            return
        left -= len(chunk)
    _close_after_answer(stream)


def _close_after_answer(stream: _Input) -> None:
    """Tell gunicorn that where the next request begins is not known: it answers, then closes the connection."""
    if hasattr(stream, "failed"):
        stream.failed = True


def _too_large(bytes_max: int) -> FailureError:
    return refuse(Code.BODY_TOO_LARGE, "body", f"larger than maximum {bytes_max} bytes")
