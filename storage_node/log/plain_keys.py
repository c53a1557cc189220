"""Keys of a plain log: stored, then confirmed, then acknowledged; what proved late moves to a new id.

A key's row lies beside its message and names it.  It is confirmed by whoever saw the message complete in time, before
anybody is told so, and only an unconfirmed key gives its place to another id.  The argument: docs/decisions/keys.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from common.guarantees import Guarantee, LogKind
from common.identifiers import LOWEST, TICKS_PER_MS, MessageId, ticks_of
from common.limits import LATE_WINDOW_MS
from common.protocol.operations import Stored
from storage_node.log.outcomes import EMPTIED, OUTCOME_UNKNOWN
from storage_node.log.pending import Entry, latest_deadline_s
from storage_node.log.tools import Tools
from storage_node.log.writer import Backoff
from storage_node.store.errors import StoreError
from storage_node.store.interface import (
    GIVEN_UP,
    Applied,
    KeyPresent,
    KeyState,
    Lane,
    LogAddress,
    LogKey,
    QueueRow,
)

HALF_WINDOW_TICKS: Final = LATE_WINDOW_MS * TICKS_PER_MS // 2


def is_in_time(message_id: MessageId, now_ticks: int) -> bool:
    """Does a message that is seen complete now count: has no reader passed it yet?"""
    return now_ticks - ticks_of(message_id) <= HALF_WINDOW_TICKS


async def belongs(tools: Tools, log: LogAddress, bucket: int, message_id: MessageId) -> bool:
    """Would readers look for this id in this bucket?"""
    return await tools.buckets.for_append(log, ticks_of(message_id)) == bucket


class KeyedPart:
    """The keyed entries of one attempt that go to one bucket."""

    def __init__(
        self,
        tools: Tools,
        log: LogAddress,
        bucket: int,
        entries: Sequence[Entry],
        *,
        rests: Callable[[QueueRow], bool],
    ) -> None:
        self._tools = tools
        self._log = log
        self._bucket = bucket
        self._rests = rests
        self._row = entries[0].pending.row
        self._in_time: dict[Entry, MessageId] = {}
        """Seen complete in time, under this id."""
        self.left = list(entries)
        """Not settled yet.  After ``send`` a further attempt can't store any of them twice."""

    async def send(self) -> None:
        """Append, confirm what counts, and settle it; what is late is settled as unknown, or left to be moved."""
        standing: Mapping[bytes, KeyState] = await self._append()
        while sure := await self._judge(standing):
            if await self._confirm(sure):
                for entry, message_id in sure.items():
                    self._store(entry, message_id)
                return
            standing = await self._tools.store.read_keys(self._log, self._bucket, [_key(entry) for entry in sure])

    async def _append(self) -> dict[bytes, KeyState]:
        answer = await self._tools.store.append_fenced(
            self._log,
            self._bucket,
            [entry.message() for entry in self.left],
            keys=[LogKey(_key(entry), entry.message_id, entry.replaces) for entry in self.left],
            fenced=False,
            consistency=self._row.consistency,
            advance=False,
        )
        if isinstance(answer, Applied):
            return {_key(entry): KeyState(entry.message_id, False) for entry in self.left}
        if isinstance(answer, KeyPresent):
            return {key: KeyState(named, key in answer.confirmed) for key, named in answer.keys.items()}
        return {}

    async def _judge(self, standing: Mapping[bytes, KeyState]) -> dict[Entry, MessageId]:
        """Settle what is decided; return what counts once it is confirmed."""
        sure: dict[Entry, MessageId] = {}
        for entry in tuple(self.left):
            state = standing.get(_key(entry))
            if state is None:
                entry.replaces = None
            elif state.message_id == GIVEN_UP:
                entry.move(self._bucket)
                self.left.remove(entry)
            elif state.confirmed:
                if self._rests(self._row):
                    self._store(entry, state.message_id)
            elif await self._counts(entry, state.message_id):
                sure[entry] = state.message_id
            else:
                self._is_late(entry, state.message_id)
        return sure

    async def _counts(self, entry: Entry, message_id: MessageId) -> bool:
        """Was it seen complete in time, with what that rests on?"""
        if self._in_time.get(entry) == message_id:
            return True
        counts = (
            is_in_time(message_id, self._tools.clock.now_ticks())
            and await belongs(self._tools, self._log, self._bucket, message_id)
            and self._rests(self._row)
        )
        if counts:
            self._in_time[entry] = message_id
        return counts

    def _is_late(self, entry: Entry, message_id: MessageId) -> None:
        """Readers may have passed it, or may have seen it: only where twice is allowed does it move to a new id."""
        if self._row.guarantee is Guarantee.AT_MOST_ONCE:
            entry.fail(OUTCOME_UNKNOWN)
            self.left.remove(entry)
            return
        entry.replaces = message_id
        if self._log.lane is Lane.DELAYED:
            entry.delay_ticks = TICKS_PER_MS

    async def _confirm(self, sure: Mapping[Entry, MessageId]) -> bool:
        """Confirm all of them as one; again until that is certain, which changes nothing where it is done already."""
        keys = [LogKey(_key(entry), message_id) for entry, message_id in sure.items()]
        expires_ticks = max([ticks_of(message_id) + entry.ttl_ticks for entry, message_id in sure.items()])
        backoff = Backoff(self._tools.clock)
        while True:
            try:
                return await self._tools.store.confirm_keys(
                    self._log, self._bucket, keys, expires_ticks=expires_ticks
                )
            except StoreError:
                if not await backoff.pause(latest_deadline_s(sure)):
                    raise

    def _store(self, entry: Entry, message_id: MessageId) -> None:
        entry.store(self._log.partition, message_id)
        self.left.remove(entry)


class KeyBuckets:
    """What a client's key has become of in the bucket that its row points to."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def known(self, queue: QueueRow, log: LogAddress, bucket: int, key: bytes) -> Stored | None:
        """Return where the message is, if its publish was acknowledged or may have been."""
        state = (await self._tools.store.read_keys(log, bucket, [key])).get(key)
        if state is None or not state.confirmed:
            return None
        return await self._stored(queue, log, state.message_id)

    async def leave(
        self, queue: QueueRow, log: LogAddress, bucket: int, key: bytes, *, expires_ticks: int
    ) -> Stored | None:
        """Settle the key in this bucket; ``None``: nothing is stored under it here, and never will be."""
        store = self._tools.store
        while True:
            state = (await store.read_keys(log, bucket, [key])).get(key)
            named = None if state is None else state.message_id
            if named == GIVEN_UP:
                return None
            if named is not None and state is not None:
                if state.confirmed or queue.log is LogKind.FENCED:
                    return await self._stored(queue, log, named)
                if await self._counts(queue, log, bucket, named):
                    expires = max(expires_ticks, ticks_of(named))
                    if await store.confirm_keys(log, bucket, [LogKey(key, named)], expires_ticks=expires):
                        return await self._stored(queue, log, named)
                    continue
                if queue.guarantee is Guarantee.AT_MOST_ONCE:
                    return Stored(failure=OUTCOME_UNKNOWN)
            if await store.give_up_key(log, bucket, LogKey(key, LOWEST, named), expires_ticks=expires_ticks):
                return None

    async def _counts(self, queue: QueueRow, log: LogAddress, bucket: int, message_id: MessageId) -> bool:
        tools = self._tools
        return (
            is_in_time(message_id, tools.clock.now_ticks())
            and tools.clock_check.sure()
            and await belongs(tools, log, bucket, message_id)
            and await tools.queues.stands(queue)
        )

    async def _stored(self, queue: QueueRow, log: LogAddress, message_id: MessageId) -> Stored:
        if not await self._tools.queues.stands(queue):
            return Stored(failure=EMPTIED)
        return Stored(message_id=message_id, partition=log.partition)


def _key(entry: Entry) -> bytes:
    assert entry.key is not None, "only keyed entries come here"
    return entry.key
