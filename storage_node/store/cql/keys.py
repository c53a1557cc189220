"""Key rows: each in the partition of the messages that it stands for, so that one condition guards both.

A key's state is one value: the id that it names, a byte longer once it is confirmed, all zero where it was given up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from common.clock import Clock
from common.identifiers import MessageId
from storage_node.store.cql.buckets import Place, place_of
from storage_node.store.cql.session import Call, CqlSession, Outcome
from storage_node.store.cql.statements import LIFETIMES
from storage_node.store.cql.times import ttl_until
from storage_node.store.interface import (
    GIVEN_UP,
    KeyPresent,
    KeyState,
    LogAddress,
    LogKey,
    StoredMessage,
)

KEYS_PER_READ: Final = 100
CONFIRMED: Final = b"\x01"

_KIND_KEY: Final = 1
_ID_BYTES: Final = len(GIVEN_UP)


class Keys:
    """The keys of all logs."""

    def __init__(self, session: CqlSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    def calls(
        self, log: LogAddress, bucket: int, messages: Sequence[StoredMessage], keys: Sequence[LogKey]
    ) -> list[Call]:
        """Return an append's part for its keys; each lives as long as the message it names, or the batch's last."""
        expires = {message.message_id: message.expires_ticks for message in messages}
        latest = max(expires.values())
        calls: list[Call] = []
        for key in keys:
            calls += self._take(log, bucket, key, expires_ticks=expires.get(key.message_id, latest))
        return calls

    async def read(self, log: LogAddress, bucket: int, keys: Sequence[bytes]) -> dict[bytes, KeyState]:
        """Return those that are there, any write of them that is under way being decided first."""
        name, place = f"read_keys_{LIFETIMES[log.lifetime]}", place_of(log, bucket)
        found: dict[bytes, KeyState] = {}
        for start in range(0, len(keys), KEYS_PER_READ):
            rows = await self._session.read(name, *place, list(keys[start : start + KEYS_PER_READ]))
            found.update({key: _state(named) for key, named in rows if named is not None})
        return found

    async def confirm(self, log: LogAddress, bucket: int, keys: Sequence[LogKey], *, expires_ticks: int) -> bool:
        """Confirm all of them as one conditional batch."""
        name, place, ttl_s = (
            f"confirm_key_{LIFETIMES[log.lifetime]}",
            place_of(log, bucket),
            self._ttl_s(expires_ticks),
        )
        calls = [(name, _confirmation(place, key, ttl_s)) for key in keys]
        return (await self._session.compare_and_set_batch(calls)).applied

    async def give_up(self, log: LogAddress, bucket: int, key: LogKey, *, expires_ticks: int) -> bool:
        """Let a key stand for nothing."""
        calls = self._take(log, bucket, key._replace(message_id=GIVEN_UP), expires_ticks=expires_ticks)
        return (await self._session.compare_and_set_batch(calls)).applied

    def _take(self, log: LogAddress, bucket: int, key: LogKey, *, expires_ticks: int) -> list[Call]:
        """A free key is made; one that is replaced loses its message in the same batch."""
        lifetime, place, ttl_s = LIFETIMES[log.lifetime], place_of(log, bucket), self._ttl_s(expires_ticks)
        if key.replaces is None:
            return [(f"insert_key_{lifetime}", (*place, key.key, key.message_id, ttl_s))]
        replaced = (ttl_s, key.message_id, *place, key.key, key.replaces)
        return [(f"replace_key_{lifetime}", replaced), (f"drop_message_{lifetime}", (*place, key.replaces))]

    def _ttl_s(self, expires_ticks: int) -> int:
        return ttl_until(expires_ticks, self._clock.now_ticks())


def present_keys(outcome: Outcome, keys: Sequence[LogKey]) -> KeyPresent:
    """Return which of the keys stood in an append's way."""
    wanted = {key.key for key in keys}
    states = {
        row["id"]: _state(row["named"])
        for row in outcome.rows
        if row.get("kind") == _KIND_KEY and row["id"] in wanted and row.get("named") is not None
    }
    confirmed = frozenset(key for key, state in states.items() if state.confirmed)
    return KeyPresent({key: state.message_id for key, state in states.items()}, confirmed)


def _confirmation(place: Place, key: LogKey, ttl_s: int) -> tuple[object, ...]:
    confirmed = key.message_id + CONFIRMED
    return (ttl_s, confirmed, *place, key.key, key.message_id, confirmed)


def _state(named: bytes) -> KeyState:
    return KeyState(MessageId(named[:_ID_BYTES]), len(named) > _ID_BYTES)
