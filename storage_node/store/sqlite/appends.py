"""Appends and fences: what moves ``last``, closes a bucket or finds a key there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from common.identifiers import MessageId
from storage_node.store.errors import StoreFailedError
from storage_node.store.interface import (
    AppendAnswer,
    Applied,
    Behind,
    Closed,
    Fence,
    KeyPresent,
    KeyState,
    LogAddress,
    LogKey,
    StoredMessage,
)
from storage_node.store.sqlite.session import LogState, MessageValues, WriteSession

_KEYS_PER_SELECT: Final = 100
_SELECT_KEY: Final = "SELECT key, id FROM log_key WHERE log = ? AND key = ?"
_SELECT_KEYS: Final = f"SELECT key, id FROM log_key WHERE log = ? AND key IN ({', '.join('?' * _KEYS_PER_SELECT)})"  # noqa: S608 - constants

_APPLIED: Final = Applied()
_encode_attributes = msgspec.json.Encoder().encode


def values_of(place: int, number: int, message: StoredMessage) -> MessageValues:
    """Return the columns of a message row."""
    attributes = _encode_attributes(message.attributes) if message.attributes else None
    return (
        place,
        number,
        message.message_id,
        message.expires_ticks,
        message.written_ticks,
        message.content_type,
        attributes,
        message.body,
    )


def append(
    session: WriteSession,
    log: LogAddress,
    bucket: int,
    messages: Sequence[StoredMessage],
    keys: Sequence[LogKey],
    *,
    fenced: bool,
    advance: bool,
) -> AppendAnswer:
    """Judge the append and keep its rows for the group's statements."""
    if any(key.replaces is not None for key in keys):
        raise StoreFailedError("the embedded store has fenced logs only")
    state = session.log(log, bucket)
    present = _present(session, state.number, [key.key for key in keys]) if keys and state.number else None
    if present:
        return KeyPresent(present)
    if state.next is not None:
        return Closed(state.next)
    if not messages:
        return _APPLIED
    if fenced and messages[0].message_id <= state.last:
        return Behind(state.last)
    session.make_log(log, bucket, announced_ticks=bucket)
    places = enumerate(messages, session.take_places(len(messages)))
    session.keep_messages([values_of(place, state.number, message) for place, message in places])
    if fenced and advance:
        state.last = messages[-1].message_id
        session.change_log(log, bucket)
    if keys:
        _keep_keys(session, state.number, keys, messages)
    return _APPLIED


def raise_last(session: WriteSession, log: LogAddress, bucket: int, *, last: MessageId) -> Fence:
    """Move ``last`` forward, never back."""
    state = session.log(log, bucket)
    if state.next is None and last > state.last:
        session.make_log(log, bucket, announced_ticks=bucket)
        state.last = last
        session.change_log(log, bucket)
    return _fence(state)


def open_bucket(session: WriteSession, log: LogAddress, bucket: int, *, last: MessageId, now_ticks: int) -> None:
    """Make the bucket with ``last`` if it is not there."""
    state = session.log(log, bucket)
    if state.number == 0:
        state.last = last
        session.make_log(log, bucket, announced_ticks=now_ticks)


def close_bucket(session: WriteSession, log: LogAddress, bucket: int, *, last: MessageId, next_bucket: int) -> Fence:
    """Close the bucket if ``last`` stands and it is open."""
    state = session.log(log, bucket)
    session.make_log(log, bucket, announced_ticks=bucket)
    if state.last == last and state.next is None:
        state.next = next_bucket
        session.change_log(log, bucket)
    return _fence(state)


def _fence(state: LogState) -> Fence:
    return Fence(state.last, state.next is not None, state.next)


def read_keys(session: WriteSession, log: LogAddress, bucket: int, keys: Sequence[bytes]) -> dict[bytes, KeyState]:
    """Return those of the keys that are there; a fenced log confirms none."""
    number = session.log(log, bucket).number
    present = _present(session, number, keys) if keys and number else {}
    return {key: KeyState(message_id, False) for key, message_id in present.items()}


def _present(session: WriteSession, number: int, keys: Sequence[bytes]) -> dict[bytes, MessageId]:
    """Return those of the keys that are there, in the file or among the rows kept back."""
    present: dict[bytes, MessageId] = {}
    for key in keys:
        kept = session.kept_key(number, key)
        if kept is not None:
            present[key] = kept
    if len(keys) == 1:
        present.update(session.connection.execute(_SELECT_KEY, (number, keys[0])).fetchall())
        return present
    for start in range(0, len(keys), _KEYS_PER_SELECT):
        names = list(keys[start : start + _KEYS_PER_SELECT])
        names += names[:1] * (_KEYS_PER_SELECT - len(names))
        present.update(session.connection.execute(_SELECT_KEYS, (number, *names)).fetchall())
    return present


def _keep_keys(session: WriteSession, number: int, keys: Sequence[LogKey], messages: Sequence[StoredMessage]) -> None:
    """Keep each key for as long as its message, or the last of the batch if it names another one."""
    expires = {message.message_id: message.expires_ticks for message in messages}
    latest = max(expires.values())
    for key, message_id, _ in keys:
        session.keep_key(number, key, message_id, expires_ticks=expires.get(message_id, latest))
