"""The seam between what the service promises and where it keeps it: one interface, two stores.

Words.  A *log* is one partition of one queue in one *lane* (live, or delayed: messages with a due time).  A log is
kept in *buckets*; a bucket is named by the UUID ticks at which it begins.  A store without buckets keeps all in
bucket 0.  Every call is one round trip to the store.  Calls raise only ``storage_node.store.errors``; time is
an argument, in UUID ticks (100 ns) of the caller's clock.

Two rules hold for every store: what was answered is durable, and a conditional write that reports *applied* was
the only one to succeed on that base.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import ClassVar, Final, NamedTuple, Protocol, TypeAlias, runtime_checkable

import msgspec

from common.guarantees import Consistency, Guarantee, LogKind, Ordering, QueueType
from common.identifiers import LOWEST, MessageId, QueueId


class Capabilities(msgspec.Struct, frozen=True):
    """What a store can and can't do; configuration that asks for more is refused at start."""

    plain_logs: bool
    """Appends without a condition exist; otherwise every log is fenced."""
    several_nodes: bool
    """Several storage nodes may share it."""
    buckets: bool
    """Logs are cut into buckets; otherwise bucket 0 holds all."""


# --- queues -----------------------------------------------------------------------------------------------


class QueueRow(msgspec.Struct, frozen=True, kw_only=True):
    """A queue's metadata: one conditional row."""

    application: str
    name: str
    queue_id: QueueId
    """4 bytes of the second and 12 random ones, never disclosed: the same name made again gets another."""
    version: int
    """Counts the row's changes; the condition of a change."""
    created_ticks: int
    guarantee: Guarantee
    log: LogKind
    lifetime: int
    """Which message table, by the default TTL at creation: 0 up to 1 hour, 1 up to 7 days, 2 longer."""
    partitions: int
    partitions_at_creation: int
    """What ``partition_key`` maps over: growing moves no key."""
    type: QueueType
    consistency: Consistency
    principles: str | None
    ttl_s: int
    delay_ms: int
    lease_ms: int
    max_deliveries: int
    dead_letter_queue: str
    ordering: Ordering
    max_in_flight: int


# --- the log ----------------------------------------------------------------------------------------------


class Lane(int, Enum):
    """Two logs per partition: what is published now, and what is due later."""

    LIVE = 0
    DELAYED = 1


class LogAddress(NamedTuple):
    """One partition of one queue in one lane."""

    queue_id: QueueId
    partition: int
    lane: Lane
    lifetime: int


class StoredMessage(NamedTuple):
    """A message row."""

    message_id: MessageId
    body: bytes
    content_type: str | None
    attributes: dict[str, str]
    expires_ticks: int
    """Not returned by reads at or after this time."""
    written_ticks: int = 0
    """When the row was written, by the store's notion (0 on a new message): an edit must be later."""


GIVEN_UP: Final = LOWEST
"""What a key names that was given up in its bucket: nothing is stored under it there, and never will be."""


class LogKey(NamedTuple):
    """A key row of an append: the message is stored only if the key is not there."""

    key: bytes
    message_id: MessageId
    replaces: MessageId | None = None
    """Plain logs: stored only if the key is there with this id and not confirmed; that message goes."""


class KeyState(NamedTuple):
    """A key row as it stands."""

    message_id: MessageId
    confirmed: bool
    """Plain logs: its publish was acknowledged, or may have been; the id stays."""


class Applied(NamedTuple):
    """The append is durable."""


class Behind(NamedTuple):
    """Nothing was stored: the log's ``last`` is not below the first id."""

    last: MessageId


class KeyPresent(NamedTuple):
    """Nothing was stored: these keys are there, each with the id that it names."""

    keys: dict[bytes, MessageId]
    confirmed: frozenset[bytes] = frozenset()
    """Those of them that are confirmed."""


class Closed(NamedTuple):
    """Nothing was stored, and never will be in this bucket: go to the bucket ``next``."""

    next: int


class NoBucket(NamedTuple):
    """Nothing was stored: the bucket does not exist yet (``open_bucket`` makes it)."""


AppendAnswer: TypeAlias = Applied | Behind | KeyPresent | Closed | NoBucket


class BucketRow(NamedTuple):
    """An entry of the index of buckets of one log."""

    bucket: int
    announced_ticks: int
    """When the entry was written, by the writer's clock."""


class Fence(NamedTuple):
    """The static part of a fenced bucket."""

    last: MessageId
    closed: bool
    next: int | None


# --- delivery and keys ------------------------------------------------------------------------------------


class DeliveryRow(NamedTuple):
    """The state of one group in one partition."""

    version: bytes
    """16 bytes, unique per write."""
    state: bytes


class GroupRow(NamedTuple):
    """A consumer group, created once."""

    group: str
    created_ticks: int
    start: str
    """Where its partitions begin: ``start``, ``end`` (of ``created_ticks``) or ``at`` (``created_ticks`` itself)."""
    ends: dict[int, MessageId]
    """Fenced logs made at ``end``: ``last`` of each partition at creation."""


class KeyRow(NamedTuple):
    """Where the message of a client's idempotency key is."""

    partition: int
    lane: Lane
    bucket: int
    digest: bytes
    """Of body, encoding and content type."""


class RevocationRow(NamedTuple):
    """A revoked link, or (``link_id`` empty) the lowest epoch that an application still accepts."""

    link_id: str
    epoch: int
    expires_ms: int


class MemberRow(NamedTuple):
    """A storage node's entry in the register."""

    member_id: str
    address: str
    state: str
    started_ms: int
    version: str
    in_flight: int
    waiting: int
    curve_key: str


class HostTime(NamedTuple):
    """One host's clock, read between two moments of the node's own clock; all in UUID ticks."""

    sent_ticks: int
    host_ticks: int
    received_ticks: int


@runtime_checkable
class HostClocks(Protocol):
    """What a store with plain logs offers besides ``Store``."""

    async def read_clocks(self) -> Sequence[HostTime]:
        """Read the clocks of several hosts; those that do not answer are left out."""


@runtime_checkable
class KeepsFloor(Protocol):
    """Besides ``Store``, where there is one node: a time that outlives the node, below which no id is stamped."""

    floor_ticks: int
    """As it was found when the store was opened."""

    async def raise_floor(self, ticks: int) -> None:
        """Keep it from now on; it is never lowered."""


class Store(Protocol):
    """One store, open for the life of a storage node."""

    capabilities: ClassVar[Capabilities]

    async def close(self) -> None:
        """Finish what is under way and let go."""

    async def ping(self) -> None:
        """Return once the store has answered a read."""

    # queues

    async def insert_queue(self, row: QueueRow) -> QueueRow | None:
        """Create the row if the name is free; ``None`` when created, else the row that stands there."""

    async def read_queue(self, application: str, name: str) -> QueueRow | None:
        """Return the row, never an older state than one acknowledged before the call."""

    async def replace_queue(self, row: QueueRow, expected_version: int) -> bool:
        """Replace the row if ``queue_id`` stands or is being changed by purge and the version is the expected one."""

    async def remove_queue(self, row: QueueRow) -> bool:
        """Remove the row if its version stands, and remember ``queue_id`` for ``erase_step``."""

    async def recently_removed(self, application: str, name: str) -> bool:
        """Was a queue of this name removed less than D ago?  Asked only where ``capabilities.several_nodes``."""

    async def list_queues(
        self, application: str, *, offset: str | None, limit: int
    ) -> tuple[list[QueueRow], str | None]:
        """Return a page in a stable order, beginning with the name ``offset`` (inclusive), and the next offset."""

    async def forget_data(self, row: QueueRow) -> None:
        """Remember that the data of this internal id (purged or deleted) are to be erased by ``erase_step``."""

    async def erase_step(self, *, now_ticks: int) -> int:
        """Erase a bounded part of deleted queues' data and of expired rows; return 1 if more is left, else 0."""

    # the log

    async def append_plain(
        self, log: LogAddress, bucket: int, messages: Sequence[StoredMessage], *, consistency: Consistency
    ) -> None:
        """Append unconditionally.  Only where ``capabilities.plain_logs``."""

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
        """Append all or nothing, on the condition ``last < first id``, not closed, and none of ``keys`` there.

        A key that replaces asks for the contrary: the id that it names is there, unconfirmed, and goes with this.
        Messages come in ascending order of ids; ``last`` becomes the highest.  ``fenced=False`` is the keyed
        append of a plain log: the keys are the only condition, ``last`` is neither looked at nor moved.
        ``advance=False`` is for the delayed lane, whose ``last`` is its horizon: looked at, moved by
        ``raise_last`` alone.  Where several conditions fail, the answer is ``KeyPresent`` before ``Closed`` before
        ``Behind``.  A store without buckets makes bucket 0 with the first append and never answers ``NoBucket``.
        """

    async def read_keys(self, log: LogAddress, bucket: int, keys: Sequence[bytes]) -> dict[bytes, KeyState]:
        """Return those of the keys that are there, at serial consistency."""

    async def confirm_keys(self, log: LogAddress, bucket: int, keys: Sequence[LogKey], *, expires_ticks: int) -> bool:
        """Confirm all of these keys, or none: on the condition that each still names its id.

        Confirming twice is the same as once.  Only where ``capabilities.plain_logs``.
        """

    async def give_up_key(self, log: LogAddress, bucket: int, key: LogKey, *, expires_ticks: int) -> bool:
        """Let the key name ``GIVEN_UP``, on the condition that a keyed append of it has: see ``LogKey.replaces``.

        Only where ``capabilities.plain_logs``.
        """

    async def raise_last(self, log: LogAddress, bucket: int, *, last: MessageId) -> Fence | None:
        """Raise ``last`` to at least this value unless closed; return the fence afterwards, ``None``: no bucket.

        A store without buckets makes bucket 0 if it is not there.
        """

    async def open_bucket(self, log: LogAddress, bucket: int, *, last: MessageId | None, now_ticks: int) -> None:
        """Put the bucket into the index, and make its fence with ``last`` if there is none.  Idempotent.

        ``last`` is ``None`` for a bucket of a plain log: it needs no fence, and may be left without one.
        """

    async def close_bucket(self, log: LogAddress, bucket: int, *, last: MessageId, next_bucket: int) -> Fence:
        """Close the bucket if ``last`` stands and it is open; return the fence that stands afterwards."""

    async def read_fence(self, log: LogAddress, bucket: int) -> Fence | None:
        """Return the fence at serial consistency."""

    async def list_buckets(self, log: LogAddress) -> list[BucketRow]:
        """Return the index of buckets, ascending."""

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
        """Return up to ``limit`` live messages with ``low <= id <= high``; without ``bodies`` these are empty."""

    async def read_messages(
        self, log: LogAddress, bucket: int, ids: Sequence[MessageId], *, now_ticks: int
    ) -> list[StoredMessage]:
        """Return the live ones of these ids, in no particular order."""

    async def put_message(self, log: LogAddress, bucket: int, message: StoredMessage, *, now_ticks: int) -> None:
        """Write the whole row over whatever stands there; ``last`` and delivery state are not touched."""

    async def delete_messages(
        self, log: LogAddress, bucket: int, ids: Sequence[MessageId], *, written_ticks: int, now_ticks: int
    ) -> None:
        """Delete rows; ``written_ticks`` is later than each row's own write time."""

    async def count_messages(
        self, log: LogAddress, bucket: int, *, low: MessageId, limit: int, now_ticks: int
    ) -> int:
        """Count live messages with ``id >= low``, up to ``limit``."""

    # delivery rows and groups

    async def read_delivery(self, queue_id: QueueId, partition: int, group: str) -> DeliveryRow | None:
        """Return the row at serial consistency: a write that is under way is finished or refused first."""

    async def swap_delivery(
        self, queue_id: QueueId, partition: int, group: str, *, expected: bytes | None, row: DeliveryRow
    ) -> bool:
        """Write the row if the version that stands is ``expected`` (``None``: no row)."""

    async def insert_group(self, queue_id: QueueId, row: GroupRow) -> GroupRow | None:
        """Create the group; ``None`` when created, else the row that stands there."""

    async def list_groups(self, queue_id: QueueId) -> list[GroupRow]:
        """Return the groups of a queue, by name."""

    # idempotency keys

    async def insert_key(self, queue_id: QueueId, key: str, row: KeyRow, *, expires_ticks: int) -> KeyRow | None:
        """Create the key's row; ``None`` when created, else the row that stands there."""

    async def move_key(
        self, queue_id: QueueId, key: str, row: KeyRow, *, expected_bucket: int, expires_ticks: int
    ) -> bool:
        """Point the key to another bucket if it still points to ``expected_bucket``."""

    # links and members

    async def revoke(self, application: str, row: RevocationRow) -> None:
        """Remember a revocation."""

    async def list_revocations(self, application: str, *, now_ms: int) -> list[RevocationRow]:
        """Return the revocations that have not expired."""

    async def write_member(self, row: MemberRow, *, ttl_s: int) -> None:
        """Write or refresh a node's entry."""

    async def remove_member(self, member_id: str) -> None:
        """Take a node out of the register."""

    async def list_members(self) -> list[MemberRow]:
        """Return the live entries."""
