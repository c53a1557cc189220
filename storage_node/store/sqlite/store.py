"""The embedded store behind the interface: writes go to one thread, reads to others."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Final, NamedTuple, TypeVar

from common import limits
from common.clock import SYSTEM_CLOCK, Clock
from common.guarantees import Consistency
from common.identifiers import LOWEST, MessageId, QueueId
from storage_node.store.errors import StoreError, StoreFailedError
from storage_node.store.interface import (
    AppendAnswer,
    BucketRow,
    Capabilities,
    DeliveryRow,
    Fence,
    GroupRow,
    KeyRow,
    KeyState,
    LogAddress,
    LogKey,
    MemberRow,
    QueueRow,
    RevocationRow,
    StoredMessage,
)
from storage_node.store.sqlite import appends, delivery, erasing, floors, messages, queues, revocations
from storage_node.store.sqlite.checkpoints import Checkpoints
from storage_node.store.sqlite.database import FileLock, create_file, open_checkpointer, open_reader, open_writer
from storage_node.store.sqlite.members import MemberRegister
from storage_node.store.sqlite.services import GroupCommit, Reads
from storage_node.store.sqlite.session import WriteSession
from storage_node.store.sqlite.space import Space
from storage_node.store.sqlite.worker import Worker

T = TypeVar("T")

READERS = 2
"""Reading threads: one slow read leaves the other free."""
QUEUES_MEASURED_AT_ONCE = 100
"""Queues whose bytes are counted in one read."""


class Connections(NamedTuple):
    """What a store works with."""

    lock: FileLock
    writer: sqlite3.Connection
    floor_ticks: int
    readers: Sequence[sqlite3.Connection]
    checkpointer: sqlite3.Connection
    space: Space


GATHER_S: Final = 0.001
"""Seconds that a busy writer waits for others to share its next commit."""


class SqliteStore:
    """One file, one node.  Made by ``open_sqlite_store`` on the event loop that uses it."""

    capabilities: ClassVar[Capabilities] = Capabilities(plain_logs=False, several_nodes=False, buckets=False)

    def __init__(self, connections: Connections, clock: Clock) -> None:
        self._lock = connections.lock
        self._space = connections.space
        self._checkpoints = Checkpoints(connections.checkpointer)
        self.floor_ticks = connections.floor_ticks
        self._members = MemberRegister(clock)
        self._writer: Worker[WriteSession] = Worker(
            "store-writer",
            GroupCommit(connections.writer),
            waiting_max=limits.STORE_WAITING_MAX,
            waiting_bytes_max=limits.STORE_WAITING_BYTES_MAX,
            batch_max=limits.STORE_GROUP_MAX,
            gather_s=GATHER_S,
        )
        self._readers: list[Worker[sqlite3.Connection]] = [
            Worker(
                f"store-reader-{number}",
                Reads(connection),
                waiting_max=limits.STORE_WAITING_MAX,
                waiting_bytes_max=limits.STORE_WAITING_BYTES_MAX,
                batch_max=limits.STORE_READS_MAX,
            )
            for number, connection in enumerate(connections.readers)
        ]
        self._turns = itertools.cycle(self._readers)

    async def close(self) -> None:
        """Finish what is queued, move the write-ahead log into the file, and let the next node have it."""
        for reader in self._readers:
            await reader.close()
        await asyncio.to_thread(self._checkpoints.close)
        await self._writer.close()
        self._lock.release()

    async def ping(self) -> None:
        """Return once a reader has answered."""
        await self._read(lambda connection: connection.execute("SELECT 1").fetchone())

    # queues

    async def insert_queue(self, row: QueueRow) -> QueueRow | None:
        """Create the row if the name is free; ``None`` when created, else the row that stands there."""
        return await self._write(lambda session: queues.insert(session, row))

    async def read_queue(self, application: str, name: str) -> QueueRow | None:
        """Return the row as last committed."""
        return await self._read(lambda connection: queues.read(connection, application, name))

    async def replace_queue(self, row: QueueRow, expected_version: int) -> bool:
        """Replace the row if the expected version stands."""
        return await self._write(lambda session: queues.replace(session, row, expected_version))

    async def remove_queue(self, row: QueueRow) -> bool:
        """Remove the row if its version stands, and give its data up."""
        return await self._write(lambda session: queues.remove(session, row))

    async def recently_removed(
        self,
        application: str,  # noqa: ARG002 - as below
        name: str,  # noqa: ARG002 - as below
    ) -> bool:
        """Return false: no other node can remember the name."""
        return False

    async def list_queues(
        self, application: str, *, offset: str | None, limit: int
    ) -> tuple[list[QueueRow], str | None]:
        """Return a page by name, beginning with ``offset``, and the next one's beginning."""
        return await self._read(lambda connection: queues.page(connection, application, offset=offset, limit=limit))

    async def forget_data(self, row: QueueRow) -> None:
        """Give up the data of this internal id."""
        await self._write(lambda session: queues.forget(session, row))

    async def erase_step(self, *, now_ticks: int) -> int:
        """Erase a bounded part of what is given up or expired; return 1 if more is left, else 0."""
        return await self._write(lambda session: erasing.step(session, now_ticks=now_ticks))

    # the log

    async def append_plain(
        self,
        log: LogAddress,  # noqa: ARG002 - refused whatever it is
        bucket: int,  # noqa: ARG002
        messages: Sequence[StoredMessage],  # noqa: ARG002
        *,
        consistency: Consistency,  # noqa: ARG002
    ) -> None:
        """Refuse: every log of this store is fenced."""
        raise StoreFailedError("the embedded store has fenced logs only")

    async def append_fenced(
        self,
        log: LogAddress,
        bucket: int,
        messages: Sequence[StoredMessage],
        *,
        keys: Sequence[LogKey] = (),
        fenced: bool = True,
        consistency: Consistency,  # noqa: ARG002 - one copy: there is one level
        advance: bool = True,
    ) -> AppendAnswer:
        """Append all or nothing; many callers' appends share one commit."""
        self._space.require()
        return await self._write(
            lambda session: appends.append(session, log, bucket, messages, keys, fenced=fenced, advance=advance),
            size_bytes=sum([len(message.body) for message in messages]),
        )

    async def read_keys(self, log: LogAddress, bucket: int, keys: Sequence[bytes]) -> dict[bytes, KeyState]:
        """Return those of the keys that are there."""
        return await self._write(lambda session: appends.read_keys(session, log, bucket, keys))

    async def confirm_keys(
        self,
        log: LogAddress,  # noqa: ARG002 - refused whatever it is
        bucket: int,  # noqa: ARG002
        keys: Sequence[LogKey],  # noqa: ARG002
        *,
        expires_ticks: int,  # noqa: ARG002
    ) -> bool:
        """Refuse: every log of this store is fenced."""
        raise StoreFailedError("the embedded store has fenced logs only")

    async def give_up_key(
        self,
        log: LogAddress,  # noqa: ARG002 - refused whatever it is
        bucket: int,  # noqa: ARG002
        key: LogKey,  # noqa: ARG002
        *,
        expires_ticks: int,  # noqa: ARG002
    ) -> bool:
        """Refuse: every log of this store is fenced."""
        raise StoreFailedError("the embedded store has fenced logs only")

    async def raise_last(self, log: LogAddress, bucket: int, *, last: MessageId) -> Fence | None:
        """Raise ``last`` to at least this value; return the fence afterwards."""
        return await self._write(lambda session: appends.raise_last(session, log, bucket, last=last))

    async def open_bucket(self, log: LogAddress, bucket: int, *, last: MessageId | None, now_ticks: int) -> None:
        """Make the bucket with ``last`` if it is not there."""
        first = last or LOWEST
        await self._write(lambda session: appends.open_bucket(session, log, bucket, last=first, now_ticks=now_ticks))

    async def close_bucket(self, log: LogAddress, bucket: int, *, last: MessageId, next_bucket: int) -> Fence:
        """Close the bucket if ``last`` stands and it is open; return the fence afterwards."""
        return await self._write(
            lambda session: appends.close_bucket(session, log, bucket, last=last, next_bucket=next_bucket)
        )

    async def read_fence(self, log: LogAddress, bucket: int) -> Fence | None:
        """Return the fence as last committed."""
        return await self._read(lambda connection: messages.read_fence(connection, log, bucket))

    async def list_buckets(self, log: LogAddress) -> list[BucketRow]:
        """Return the log's buckets, ascending."""
        return await self._read(lambda connection: messages.list_buckets(connection, log))

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
        consistency: Consistency = Consistency.STRONG,  # noqa: ARG002 - one copy: there is one level
        bodies: bool = True,
    ) -> list[StoredMessage]:
        """Return up to ``limit`` live messages with ``low <= id <= high``."""
        return await self._read(
            lambda connection: messages.list_range(
                connection,
                log,
                bucket,
                low=low,
                high=high,
                limit=limit,
                descending=descending,
                now_ticks=now_ticks,
                bodies=bodies,
            )
        )

    async def read_messages(
        self, log: LogAddress, bucket: int, ids: Sequence[MessageId], *, now_ticks: int
    ) -> list[StoredMessage]:
        """Return the live ones of these ids."""
        return await self._read(
            lambda connection: messages.read_ids(connection, log, bucket, ids, now_ticks=now_ticks)
        )

    async def put_message(
        self,
        log: LogAddress,
        bucket: int,
        message: StoredMessage,
        *,
        now_ticks: int,  # noqa: ARG002 - the row carries its own times
    ) -> None:
        """Write the whole row over whatever stands there."""
        await self._write(lambda session: messages.put(session, log, bucket, message), size_bytes=len(message.body))

    async def delete_messages(
        self,
        log: LogAddress,
        bucket: int,
        ids: Sequence[MessageId],
        *,
        written_ticks: int,  # noqa: ARG002 - one writer: the order of calls decides
        now_ticks: int,  # noqa: ARG002 - as above
    ) -> None:
        """Delete these rows."""
        await self._write(lambda session: messages.delete(session, log, bucket, ids))

    async def count_messages(
        self, log: LogAddress, bucket: int, *, low: MessageId, limit: int, now_ticks: int
    ) -> int:
        """Count live messages with ``id >= low``, up to ``limit``."""
        return await self._read(
            lambda connection: messages.count(connection, log, bucket, low=low, limit=limit, now_ticks=now_ticks)
        )

    async def stored_bytes(self, application: str, *, now_ticks: int) -> int:
        """Return the bytes of all live bodies of an application; a bounded number of queues in one read."""
        total, offset = 0, ""
        while True:
            rows, following = await self.list_queues(application, offset=offset, limit=QUEUES_MEASURED_AT_ONCE)
            ids = [row.queue_id for row in rows]
            total += await self._read(partial(messages.total_bytes, queue_ids=ids, now_ticks=now_ticks))
            if following is None:
                return total
            offset = following

    # delivery rows, groups and keys

    async def read_delivery(self, queue_id: QueueId, partition: int, group: str) -> DeliveryRow | None:
        """Return the row after every write that was submitted before this call."""
        return await self._write(lambda session: delivery.read(session.connection, queue_id, partition, group))

    async def swap_delivery(
        self, queue_id: QueueId, partition: int, group: str, *, expected: bytes | None, row: DeliveryRow
    ) -> bool:
        """Write the row if the expected version stands."""
        return await self._write(
            lambda session: delivery.swap(session, queue_id, partition, group, expected=expected, row=row),
            size_bytes=len(row.state),
        )

    async def insert_group(self, queue_id: QueueId, row: GroupRow) -> GroupRow | None:
        """Create the group; ``None`` when created, else the row that stands there."""
        return await self._write(lambda session: delivery.insert_group(session, queue_id, row))

    async def list_groups(self, queue_id: QueueId) -> list[GroupRow]:
        """Return the groups of a queue, by name."""
        return await self._read(lambda connection: delivery.list_groups(connection, queue_id))

    async def insert_key(self, queue_id: QueueId, key: str, row: KeyRow, *, expires_ticks: int) -> KeyRow | None:
        """Create the key's row; ``None`` when created, else the row that stands there."""
        return await self._write(
            lambda session: delivery.insert_key(session, queue_id, key, row, expires_ticks=expires_ticks)
        )

    async def move_key(
        self, queue_id: QueueId, key: str, row: KeyRow, *, expected_bucket: int, expires_ticks: int
    ) -> bool:
        """Point the key to another bucket if it still points to the expected one."""
        return await self._write(
            lambda session: delivery.move_key(
                session, queue_id, key, row, expected_bucket=expected_bucket, expires_ticks=expires_ticks
            )
        )

    # the floor of ids, links and members

    async def raise_floor(self, ticks: int) -> None:
        """Keep it from now on; it is never lowered."""
        await self._write(lambda session: floors.raise_to(session, ticks))

    async def revoke(self, application: str, row: RevocationRow) -> None:
        """Remember a revocation."""
        await self._write(lambda session: revocations.revoke(session, application, row))

    async def list_revocations(self, application: str, *, now_ms: int) -> list[RevocationRow]:
        """Return the revocations that have not expired."""
        return await self._read(lambda connection: revocations.list_live(connection, application, now_ms=now_ms))

    async def write_member(self, row: MemberRow, *, ttl_s: int) -> None:
        """Remember this node's entry while the process lives: no other node can share the file."""
        self._members.write(row, ttl_s=ttl_s)

    async def remove_member(self, member_id: str) -> None:
        """Take a node out of the register."""
        self._members.remove(member_id)

    async def list_members(self) -> list[MemberRow]:
        """Return the live entries."""
        return self._members.live()

    # threads

    def _write(self, run: Callable[[WriteSession], T], *, size_bytes: int = 0) -> asyncio.Future[T]:
        return self._writer.submit(run, size_bytes=size_bytes)

    def _read(self, run: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        return next(self._turns).submit(run)


async def open_sqlite_store(path: Path, *, clock: Clock = SYSTEM_CLOCK) -> SqliteStore:
    """Open the store's file for this node alone, making it or bringing its schema up to date.

    Raises:
        StoreFailedError: in use by another node, damaged, not ours, or written by a newer version.
    """
    return SqliteStore(await asyncio.to_thread(_open_connections, path), clock)


def _open_connections(path: Path) -> Connections:
    create_file(path)
    lock = FileLock(path)
    try:
        writer = open_writer(path)
        readers = [open_reader(path) for _ in range(READERS)]
        return Connections(lock, writer, floors.read(writer), readers, open_checkpointer(path), Space(path))
    except StoreError:
        lock.release()
        raise
