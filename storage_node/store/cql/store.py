"""The cluster behind the interface: each call goes to the part that knows its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from common.clock import Clock
from common.guarantees import Consistency
from common.identifiers import MessageId, QueueId
from storage_node.store.cql.buckets import Buckets
from storage_node.store.cql.clocks import Clocks
from storage_node.store.cql.delivery import Delivery
from storage_node.store.cql.erasures import Erasures
from storage_node.store.cql.keys import Keys
from storage_node.store.cql.messages import Messages
from storage_node.store.cql.queues import Queues
from storage_node.store.cql.services import Services
from storage_node.store.cql.session import CqlSession
from storage_node.store.cql.shares import Shares
from storage_node.store.interface import (
    AppendAnswer,
    BucketRow,
    Capabilities,
    DeliveryRow,
    Fence,
    GroupRow,
    HostTime,
    KeyRow,
    KeyState,
    LogAddress,
    LogKey,
    MemberRow,
    QueueRow,
    RevocationRow,
    StoredMessage,
)
from storage_node.store.shares import Share


class CassandraStore:
    """One cluster, any number of nodes.  Made by ``open_cassandra_store`` on the event loop that uses it."""

    capabilities: ClassVar[Capabilities] = Capabilities(plain_logs=True, several_nodes=True, buckets=True)

    def __init__(self, session: CqlSession, clock: Clock, *, is_home: Callable[[str], bool] = lambda _: True) -> None:
        self._session = session
        self._erasures = Erasures(session, clock=clock, is_home=is_home)
        self._queues = Queues(session, clock=clock, erasures=self._erasures)
        self._buckets = Buckets(session, clock)
        self._keys = Keys(session, clock)
        self._messages = Messages(session, clock=clock, buckets=self._buckets, keys=self._keys)
        self._delivery = Delivery(session, clock)
        self._services = Services(session, clock)
        self._clocks = Clocks(session, clock)
        self._shares = Shares(session, clock)

    async def close(self) -> None:
        """Finish what is under way and let go of all connections."""
        await self._session.close()

    async def ping(self) -> None:
        """Return once a host has answered."""
        await self._session.read("ping")

    async def read_clocks(self) -> Sequence[HostTime]:
        """Read the clocks of several hosts; those that do not answer are left out."""
        return await self._clocks.read()

    # queues

    async def insert_queue(self, row: QueueRow) -> QueueRow | None:
        """Create the row if the name is free; ``None`` when created, else the row that stands there."""
        return await self._queues.insert(row)

    async def read_queue(self, application: str, name: str) -> QueueRow | None:
        """Return the row as last acknowledged."""
        return await self._queues.read(application, name)

    async def replace_queue(self, row: QueueRow, expected_version: int) -> bool:
        """Replace the row if its incarnation stands at the expected version."""
        return await self._queues.replace(row, expected_version)

    async def remove_queue(self, row: QueueRow) -> bool:
        """Remove the row if its version stands, and give its data up."""
        return await self._queues.remove(row)

    async def recently_removed(self, application: str, name: str) -> bool:
        """Was a queue of this name removed less than D ago?"""
        return await self._queues.recently_removed(application, name)

    async def list_queues(
        self, application: str, *, offset: str | None, limit: int
    ) -> tuple[list[QueueRow], str | None]:
        """Return a page in a stable order, beginning with ``offset``, and the next one's beginning."""
        return await self._queues.page(application, offset=offset, limit=limit)

    async def forget_data(self, row: QueueRow) -> None:
        """Give up the data of this internal id."""
        await self._erasures.decide(row)

    async def erase_step(self, *, now_ticks: int) -> int:  # noqa: ARG002 - what expires goes by itself
        """Erase a bounded part of what is given up; return 1 if more may be left, else 0."""
        return await self._erasures.step(self._queues.stands)

    # the log

    async def append_plain(
        self, log: LogAddress, bucket: int, messages: Sequence[StoredMessage], *, consistency: Consistency
    ) -> None:
        """Append unconditionally, as one batch of one partition."""
        await self._messages.append_plain(log, bucket, messages, consistency=consistency)

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
        """Append all or nothing, as one conditional batch of one partition."""
        return await self._messages.append_fenced(
            log, bucket, messages, keys=keys, fenced=fenced, consistency=consistency, advance=advance
        )

    async def read_keys(self, log: LogAddress, bucket: int, keys: Sequence[bytes]) -> dict[bytes, KeyState]:
        """Return those of the keys that are there, at serial consistency."""
        return await self._keys.read(log, bucket, keys)

    async def confirm_keys(self, log: LogAddress, bucket: int, keys: Sequence[LogKey], *, expires_ticks: int) -> bool:
        """Confirm all of these keys if each still names its id."""
        return await self._keys.confirm(log, bucket, keys, expires_ticks=expires_ticks)

    async def give_up_key(self, log: LogAddress, bucket: int, key: LogKey, *, expires_ticks: int) -> bool:
        """Let the key name ``GIVEN_UP`` if it is not there, or there as the one that it replaces."""
        return await self._keys.give_up(log, bucket, key, expires_ticks=expires_ticks)

    async def raise_last(self, log: LogAddress, bucket: int, *, last: MessageId) -> Fence | None:
        """Raise ``last`` to at least this value; return the fence afterwards."""
        return await self._buckets.raise_last(log, bucket, last=last)

    async def open_bucket(self, log: LogAddress, bucket: int, *, last: MessageId | None, now_ticks: int) -> None:
        """Put the bucket into the index, and make its fence if there is none and one is wanted."""
        await self._buckets.open(log, bucket, last=last, now_ticks=now_ticks)

    async def close_bucket(self, log: LogAddress, bucket: int, *, last: MessageId, next_bucket: int) -> Fence:
        """Close the bucket if ``last`` stands and it is open; return the fence afterwards."""
        return await self._buckets.close(log, bucket, last=last, next_bucket=next_bucket)

    async def read_fence(self, log: LogAddress, bucket: int) -> Fence | None:
        """Return the fence at serial consistency."""
        return await self._buckets.read_fence(log, bucket)

    async def list_buckets(self, log: LogAddress) -> list[BucketRow]:
        """Return the log's buckets, ascending."""
        return await self._buckets.list_rows(log)

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
        """Return up to ``limit`` live messages with ``low <= id <= high``."""
        return await self._messages.list_range(
            log,
            bucket,
            low=low,
            high=high,
            limit=limit,
            descending=descending,
            now_ticks=now_ticks,
            consistency=consistency,
            bodies=bodies,
        )

    async def read_messages(
        self, log: LogAddress, bucket: int, ids: Sequence[MessageId], *, now_ticks: int
    ) -> list[StoredMessage]:
        """Return the live ones of these ids."""
        return await self._messages.read(log, bucket, ids, now_ticks=now_ticks)

    async def put_message(self, log: LogAddress, bucket: int, message: StoredMessage, *, now_ticks: int) -> None:
        """Write the whole row over whatever stands there."""
        await self._messages.put(log, bucket, message, now_ticks=now_ticks)

    async def delete_messages(
        self,
        log: LogAddress,
        bucket: int,
        ids: Sequence[MessageId],
        *,
        written_ticks: int,
        now_ticks: int,  # noqa: ARG002 - the write time decides
    ) -> None:
        """Delete these rows."""
        await self._messages.delete(log, bucket, ids, written_ticks=written_ticks)

    async def count_messages(
        self, log: LogAddress, bucket: int, *, low: MessageId, limit: int, now_ticks: int
    ) -> int:
        """Count live messages with ``id >= low``, up to ``limit``."""
        return await self._messages.count(log, bucket, low=low, limit=limit, now_ticks=now_ticks)

    # delivery rows, groups and keys

    async def read_delivery(self, queue_id: QueueId, partition: int, group: str) -> DeliveryRow | None:
        """Return the row at serial consistency."""
        return await self._delivery.read(queue_id, partition, group)

    async def swap_delivery(
        self, queue_id: QueueId, partition: int, group: str, *, expected: bytes | None, row: DeliveryRow
    ) -> bool:
        """Write the row if the expected version stands."""
        return await self._delivery.swap(queue_id, partition, group, expected=expected, row=row)

    async def insert_group(self, queue_id: QueueId, row: GroupRow) -> GroupRow | None:
        """Create the group; ``None`` when created, else the row that stands there."""
        return await self._delivery.insert_group(queue_id, row)

    async def list_groups(self, queue_id: QueueId) -> list[GroupRow]:
        """Return the groups of a queue, by name."""
        return await self._delivery.list_groups(queue_id)

    async def insert_key(self, queue_id: QueueId, key: str, row: KeyRow, *, expires_ticks: int) -> KeyRow | None:
        """Create the key's row; ``None`` when created, else the row that stands there."""
        return await self._delivery.insert_key(queue_id, key, row, expires_ticks=expires_ticks)

    async def move_key(
        self, queue_id: QueueId, key: str, row: KeyRow, *, expected_bucket: int, expires_ticks: int
    ) -> bool:
        """Point the key to another bucket if it still points to the expected one."""
        return await self._delivery.move_key(
            queue_id, key, row, expected_bucket=expected_bucket, expires_ticks=expires_ticks
        )

    # links and members

    async def revoke(self, application: str, row: RevocationRow) -> None:
        """Remember a revocation."""
        await self._services.revoke(application, row)

    async def list_revocations(self, application: str, *, now_ms: int) -> list[RevocationRow]:
        """Return the revocations that have not expired."""
        return await self._services.list_revocations(application, now_ms=now_ms)

    async def write_member(self, row: MemberRow, *, ttl_s: int) -> None:
        """Write or refresh a node's entry."""
        await self._services.write_member(row, ttl_s=ttl_s)

    async def remove_member(self, member_id: str) -> None:
        """Take a node out of the register."""
        await self._services.remove_member(member_id)

    async def list_members(self) -> list[MemberRow]:
        """Return the live entries."""
        return await self._services.list_members()

    # stored bytes

    async def write_shares(self, application: str, shares: Sequence[Share]) -> None:
        """Write this node's rows of one application."""
        await self._shares.write(application, shares)

    async def list_shares(self, application: str, *, now_ticks: int) -> list[Share]:
        """Return the rows of all nodes whose time is to come."""
        return await self._shares.list_live(application, now_ticks=now_ticks)
