"""The store's contract in its most naive form: dictionaries, no threads, no file.

``MemoryStore`` can do what the embedded store can, ``MemoryCluster`` what Cassandra can.  Both run through the
conformance suite, serve as the model that real stores are compared with, and carry the simulation.  Several nodes
may share one: each call is one step, taken at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from common import limits
from common.clock import Clock, ticks_to_unix_ms
from common.guarantees import Consistency
from common.identifiers import LOWEST, MessageId, QueueId
from storage_node.store.errors import StoreFailedError
from storage_node.store.interface import (
    GIVEN_UP,
    AppendAnswer,
    Applied,
    Behind,
    BucketRow,
    Capabilities,
    Closed,
    DeliveryRow,
    Fence,
    GroupRow,
    KeyPresent,
    KeyRow,
    KeyState,
    LogAddress,
    LogKey,
    MemberRow,
    NoBucket,
    QueueRow,
    RevocationRow,
    StoredMessage,
)
from storage_node.store.shares import Share
from tests.support.clock import ManualClock

ERASED_PER_STEP_MAX = 100


class Bucket:
    """All that is kept of one bucket of one log."""

    def __init__(self, last: MessageId, announced_ticks: int) -> None:
        self.announced_ticks = announced_ticks
        self.fence = Fence(last, False, None)
        self.has_fence = True
        self.messages: dict[MessageId, StoredMessage] = {}
        self.keys: dict[bytes, tuple[MessageId, int]] = {}
        self.confirmed: set[bytes] = set()

    def live(self, low: MessageId, high: MessageId | None, now_ticks: int) -> list[StoredMessage]:
        """Return live messages between two ids, both included, by id."""
        return [
            self.messages[key]
            for key in sorted(self.messages)
            if low <= key and (high is None or key <= high) and self.messages[key].expires_ticks > now_ticks
        ]


def _is_free(bucket: Bucket, key: LogKey) -> bool:
    """Is the key not there, or there as the one that it replaces?"""
    standing = bucket.keys.get(key.key)
    if key.replaces is None or standing is None:
        return key.replaces is None and standing is None
    return standing[0] == key.replaces and key.key not in bucket.confirmed


class MemoryStore:
    """What the embedded store promises, except that it ends with the process."""

    capabilities: ClassVar[Capabilities] = Capabilities(plain_logs=False, several_nodes=False, buckets=False)

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or ManualClock()
        self._queues: dict[str, dict[str, QueueRow]] = {}
        self._removed_s: dict[tuple[str, str], float] = {}
        self._forgotten: list[QueueId] = []
        self._logs: dict[tuple[QueueId, int, int], dict[int, Bucket]] = {}
        self._delivery: dict[tuple[QueueId, int, str], DeliveryRow] = {}
        self._groups: dict[QueueId, dict[str, GroupRow]] = {}
        self._keys: dict[tuple[QueueId, str], tuple[KeyRow, int]] = {}
        self._revocations: dict[str, dict[str, RevocationRow]] = {}
        self._members: dict[str, tuple[MemberRow, float]] = {}

    async def close(self) -> None:
        """There is nothing to let go of."""

    async def ping(self) -> None:
        """It is always there."""

    # queues

    async def insert_queue(self, row: QueueRow) -> QueueRow | None:
        queues = self._queues.setdefault(row.application, {})
        standing = queues.get(row.name)
        if standing is None:
            queues[row.name] = row
        return standing

    async def read_queue(self, application: str, name: str) -> QueueRow | None:
        return self._queues.get(application, {}).get(name)

    async def replace_queue(self, row: QueueRow, expected_version: int) -> bool:
        standing = await self.read_queue(row.application, row.name)
        if standing is None or (standing.version, standing.created_ticks) != (expected_version, row.created_ticks):
            return False
        self._queues[row.application][row.name] = row
        return True

    async def remove_queue(self, row: QueueRow) -> bool:
        standing = await self.read_queue(row.application, row.name)
        if standing is None or (standing.version, standing.queue_id) != (row.version, row.queue_id):
            return False
        del self._queues[row.application][row.name]
        self._removed_s[row.application, row.name] = self._clock.monotonic_s()
        self._forgotten.append(row.queue_id)
        return True

    async def recently_removed(self, application: str, name: str) -> bool:
        removed_s = self._removed_s.get((application, name))
        if removed_s is None or not self.capabilities.several_nodes:
            return False
        return self._clock.monotonic_s() < removed_s + limits.LATE_WINDOW_MS / 1000

    async def list_queues(
        self, application: str, *, offset: str | None, limit: int
    ) -> tuple[list[QueueRow], str | None]:
        queues = self._queues.get(application, {})
        names = [name for name in sorted(queues) if name >= (offset or "")]
        return [queues[name] for name in names[:limit]], names[limit] if len(names) > limit else None

    async def forget_data(self, row: QueueRow) -> None:
        self._forgotten.append(row.queue_id)

    async def erase_step(self, *, now_ticks: int) -> int:
        budget = ERASED_PER_STEP_MAX
        for buckets in self._logs.values():
            for bucket in buckets.values():
                expired = [key for key, row in bucket.messages.items() if row.expires_ticks <= now_ticks][:budget]
                budget -= len(expired)
                for message_id in expired:
                    del bucket.messages[message_id]
                bucket.keys = {key: value for key, value in bucket.keys.items() if value[1] > now_ticks}
        self._keys = {key: value for key, value in self._keys.items() if value[1] > now_ticks}
        now_ms = ticks_to_unix_ms(now_ticks)
        for application, rows in self._revocations.items():
            self._revocations[application] = {key: row for key, row in rows.items() if row.expires_ms > now_ms}
        if budget > 0 and self._forgotten:
            self._erase_queue(self._forgotten.pop(0))
        return int(budget == 0 or bool(self._forgotten))

    def _erase_queue(self, queue_id: QueueId) -> None:
        self._logs = {key: value for key, value in self._logs.items() if key[0] != queue_id}
        self._delivery = {key: row for key, row in self._delivery.items() if key[0] != queue_id}
        self._keys = {key: value for key, value in self._keys.items() if key[0] != queue_id}
        self._groups.pop(queue_id, None)

    # the log

    def _buckets(self, log: LogAddress) -> dict[int, Bucket]:
        return self._logs.setdefault((log.queue_id, log.partition, int(log.lane)), {})

    def _bucket(self, log: LogAddress, number: int) -> Bucket | None:
        """Return the bucket; a store without buckets makes it."""
        buckets = self._buckets(log)
        if number not in buckets and not self.capabilities.buckets:
            buckets[number] = Bucket(LOWEST, number)
        return buckets.get(number)

    async def append_plain(
        self, log: LogAddress, bucket: int, messages: Sequence[StoredMessage], *, consistency: Consistency
    ) -> None:
        if not self.capabilities.plain_logs:
            raise StoreFailedError("this store has fenced logs only")
        kept = self._buckets(log).setdefault(bucket, Bucket(LOWEST, bucket))
        kept.messages.update({message.message_id: message for message in messages})

    async def append_fenced(
        self,
        log: LogAddress,
        bucket: int,
        messages: Sequence[StoredMessage],
        *,
        keys: Sequence[LogKey] = (),
        fenced: bool = True,
        consistency: Consistency,
        advance: bool = True,
    ) -> AppendAnswer:
        kept = self._bucket(log, bucket)
        if kept is None:
            return NoBucket()
        self._refuse_plain(any(key.replaces is not None for key in keys))
        present = {key.key: kept.keys[key.key][0] for key in keys if key.key in kept.keys}
        if not all(_is_free(kept, key) for key in keys):
            return KeyPresent(present, frozenset(kept.confirmed & present.keys()))
        if kept.fence.closed and kept.fence.next is not None:
            return Closed(kept.fence.next)
        if not messages:
            return Applied()
        if fenced and not kept.has_fence:
            return NoBucket()
        if fenced and messages[0].message_id <= kept.fence.last:
            return Behind(kept.fence.last)
        kept.messages.update({message.message_id: message for message in messages})
        expires = {message.message_id: message.expires_ticks for message in messages}
        for key, named, replaces in keys:
            kept.keys[key] = (named, expires.get(named, max(expires.values())))
            kept.messages.pop(replaces or GIVEN_UP, None)
        if fenced and advance:
            kept.fence = kept.fence._replace(last=messages[-1].message_id)
        return Applied()

    def _refuse_plain(self, asked: bool) -> None:
        if asked and not self.capabilities.plain_logs:
            raise StoreFailedError("this store has fenced logs only")

    async def read_keys(self, log: LogAddress, bucket: int, keys: Sequence[bytes]) -> dict[bytes, KeyState]:
        kept = self._buckets(log).get(bucket)
        if kept is None:
            return {}
        return {key: KeyState(kept.keys[key][0], key in kept.confirmed) for key in keys if key in kept.keys}

    async def confirm_keys(self, log: LogAddress, bucket: int, keys: Sequence[LogKey], *, expires_ticks: int) -> bool:
        self._refuse_plain(True)
        kept = self._buckets(log).get(bucket)
        if kept is None or any(kept.keys.get(key.key, (None, 0))[0] != key.message_id for key in keys):
            return False
        kept.keys.update({key.key: (key.message_id, expires_ticks) for key in keys})
        kept.confirmed.update(key.key for key in keys)
        return True

    async def give_up_key(self, log: LogAddress, bucket: int, key: LogKey, *, expires_ticks: int) -> bool:
        self._refuse_plain(True)
        kept = self._buckets(log).setdefault(bucket, Bucket(LOWEST, bucket))
        if not _is_free(kept, key):
            return False
        kept.keys[key.key] = (GIVEN_UP, expires_ticks)
        kept.messages.pop(key.replaces or GIVEN_UP, None)
        return True

    async def raise_last(self, log: LogAddress, bucket: int, *, last: MessageId) -> Fence | None:
        kept = self._bucket(log, bucket)
        if kept is None or not kept.has_fence:
            return None
        if not kept.fence.closed and last > kept.fence.last:
            kept.fence = kept.fence._replace(last=last)
        return kept.fence

    async def open_bucket(self, log: LogAddress, bucket: int, *, last: MessageId | None, now_ticks: int) -> None:
        buckets = self._buckets(log)
        if bucket not in buckets:
            buckets[bucket] = Bucket(LOWEST, now_ticks)
            buckets[bucket].has_fence = False
        if last is not None and not buckets[bucket].has_fence:
            buckets[bucket].fence = Fence(last, False, None)
            buckets[bucket].has_fence = True

    async def close_bucket(self, log: LogAddress, bucket: int, *, last: MessageId, next_bucket: int) -> Fence:
        kept = self._bucket(log, bucket)
        if kept is None or not kept.has_fence:
            raise StoreFailedError("no such bucket")
        if kept.fence.last == last and not kept.fence.closed:
            kept.fence = Fence(last, True, next_bucket)
        return kept.fence

    async def read_fence(self, log: LogAddress, bucket: int) -> Fence | None:
        kept = self._buckets(log).get(bucket)
        return None if kept is None or not kept.has_fence else kept.fence

    async def list_buckets(self, log: LogAddress) -> list[BucketRow]:
        return [BucketRow(number, kept.announced_ticks) for number, kept in sorted(self._buckets(log).items())]

    async def list_messages(
        self,
        log: LogAddress,
        bucket: int,
        *,
        low: MessageId,
        high: MessageId,
        limit: int,
        descending: bool = False,
        now_ticks: int,
        consistency: Consistency = Consistency.STRONG,
        bodies: bool = True,
    ) -> list[StoredMessage]:
        kept = self._buckets(log).get(bucket)
        found = [] if kept is None else kept.live(low, high, now_ticks)
        found = (found[::-1] if descending else found)[:limit]
        return found if bodies else [message._replace(body=b"") for message in found]

    async def read_messages(
        self, log: LogAddress, bucket: int, ids: Sequence[MessageId], *, now_ticks: int
    ) -> list[StoredMessage]:
        kept = self._buckets(log).get(bucket)
        return [] if kept is None else [row for row in kept.live(LOWEST, None, now_ticks) if row.message_id in ids]

    async def put_message(self, log: LogAddress, bucket: int, message: StoredMessage, *, now_ticks: int) -> None:
        kept = self._buckets(log).setdefault(bucket, Bucket(LOWEST, bucket))
        kept.messages[message.message_id] = message

    async def delete_messages(
        self, log: LogAddress, bucket: int, ids: Sequence[MessageId], *, written_ticks: int, now_ticks: int
    ) -> None:
        kept = self._buckets(log).get(bucket)
        for message_id in ids if kept is not None else ():
            self._buckets(log)[bucket].messages.pop(message_id, None)

    async def count_messages(
        self, log: LogAddress, bucket: int, *, low: MessageId, limit: int, now_ticks: int
    ) -> int:
        kept = self._buckets(log).get(bucket)
        return 0 if kept is None else min(limit, len(kept.live(low, None, now_ticks)))

    # delivery rows, groups and keys

    async def read_delivery(self, queue_id: QueueId, partition: int, group: str) -> DeliveryRow | None:
        return self._delivery.get((queue_id, partition, group))

    async def swap_delivery(
        self, queue_id: QueueId, partition: int, group: str, *, expected: bytes | None, row: DeliveryRow
    ) -> bool:
        standing = self._delivery.get((queue_id, partition, group))
        if (None if standing is None else standing.version) != expected:
            return False
        self._delivery[queue_id, partition, group] = row
        return True

    async def insert_group(self, queue_id: QueueId, row: GroupRow) -> GroupRow | None:
        groups = self._groups.setdefault(queue_id, {})
        standing = groups.get(row.group)
        if standing is None:
            groups[row.group] = row
        return standing

    async def list_groups(self, queue_id: QueueId) -> list[GroupRow]:
        return [row for _, row in sorted(self._groups.get(queue_id, {}).items())]

    async def insert_key(self, queue_id: QueueId, key: str, row: KeyRow, *, expires_ticks: int) -> KeyRow | None:
        standing = self._keys.get((queue_id, key))
        if standing is None:
            self._keys[queue_id, key] = (row, expires_ticks)
        return None if standing is None else standing[0]

    async def move_key(
        self, queue_id: QueueId, key: str, row: KeyRow, *, expected_bucket: int, expires_ticks: int
    ) -> bool:
        standing = self._keys.get((queue_id, key))
        if standing is None or standing[0].bucket != expected_bucket:
            return False
        self._keys[queue_id, key] = (row, expires_ticks)
        return True

    # links and members

    async def revoke(self, application: str, row: RevocationRow) -> None:
        rows = self._revocations.setdefault(application, {})
        standing = rows.get(row.link_id, row)
        epoch, expires_ms = max(standing.epoch, row.epoch), max(standing.expires_ms, row.expires_ms)
        rows[row.link_id] = RevocationRow(row.link_id, epoch, expires_ms)

    async def list_revocations(self, application: str, *, now_ms: int) -> list[RevocationRow]:
        rows = sorted(self._revocations.get(application, {}).items())
        return [row for _, row in rows if row.expires_ms > now_ms]

    async def write_member(self, row: MemberRow, *, ttl_s: int) -> None:
        self._members[row.member_id] = (row, self._clock.monotonic_s() + ttl_s)

    async def remove_member(self, member_id: str) -> None:
        self._members.pop(member_id, None)

    async def list_members(self) -> list[MemberRow]:
        now_s = self._clock.monotonic_s()
        return [row for _, (row, ends_s) in sorted(self._members.items()) if ends_s > now_s]


class MemoryCluster(MemoryStore):
    """What Cassandra promises: plain logs, buckets that must be opened, any number of nodes."""

    capabilities: ClassVar[Capabilities] = Capabilities(plain_logs=True, several_nodes=True, buckets=True)

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self._shares: dict[str, dict[tuple[int, str], Share]] = {}

    async def write_shares(self, application: str, shares: Sequence[Share]) -> None:
        rows = self._shares.setdefault(application, {})
        rows.update({(share.until_s, share.member_id): share for share in shares})

    async def list_shares(self, application: str, *, now_ticks: int) -> list[Share]:
        now_s = ticks_to_unix_ms(now_ticks) // 1_000
        return [share for (until_s, _), share in sorted(self._shares.get(application, {}).items()) if until_s > now_s]
