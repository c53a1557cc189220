"""The only description of the protocol between front ends and storage nodes: one frozen value per operation.

Every struct travels as a msgpack array in the order of its fields.  A later version may add fields at the end, with
defaults; older receivers ignore them, newer ones fill them in: so one version back and forward work together.
Times are milliseconds or UUID ticks (100 ns), as the names say; ids are 16 sortable bytes (``common.identifiers``).
"""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

from common.guarantees import Consistency, Guarantee, LogKind, Ordering, QueueType
from common.protocol.failures import Failure


class _Value(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A value inside an operation or a reply."""


# --- who asks ---------------------------------------------------------------------------------------------


class LinkGrant(_Value, frozen=True, kw_only=True):
    """What a verified capability link grants; the node checks scope and revocation."""

    link_id: str
    epoch: int
    operations: tuple[str, ...]
    """Of ``read``, ``publish``, ``claim``, ``delete``."""
    queue: str
    """A queue's name, or the beginning of names where ``prefix`` is set."""
    prefix: bool
    expires_ms: int
    """Unix milliseconds."""
    body_bytes_max: int | None = None


class Caller(_Value, frozen=True, kw_only=True):
    """The authenticated principals of a request (``app:NAME``, ``bid:EMAIL``), or a link's grant."""

    principals: tuple[str, ...] = ()
    link: LinkGrant | None = None


# --- operations -------------------------------------------------------------------------------------------


class Operation(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A request to a storage node; ``Reply`` is the type of its good answer."""

    Reply: ClassVar[type[msgspec.Struct]]
    reads_only: ClassVar[bool] = False
    """May be sent to another node although its outcome is unknown."""


class ApplicationOperation(Operation, frozen=True, kw_only=True):
    """An operation of an application."""

    application: str
    caller: Caller


class QueueOperation(ApplicationOperation, frozen=True, kw_only=True):
    """An operation on one queue, routed by application and queue."""

    queue: str


class Done(_Value, frozen=True, kw_only=True):
    """Nothing to say but that it is done."""


class QueueSettings(_Value, frozen=True, kw_only=True):
    """What a client may set on a queue; ``None`` means not sent: the default on create, unchanged on update."""

    partitions: int | None = None
    type: QueueType | None = None
    consistency: Consistency | None = None
    principles: str | None = None
    """v1's comma-separated list of principals."""
    ttl_s: int | None = None
    delay_ms: int | None = None
    lease_ms: int | None = None
    max_deliveries: int | None = None
    """0 means no bound."""
    dead_letter_queue: str | None = None
    """An empty text takes it away."""
    ordering: Ordering | None = None
    max_in_flight: int | None = None
    log: LogKind | None = None
    """Only on create; ``fenced`` may be asked for under any guarantee."""


class QueueInfo(_Value, frozen=True, kw_only=True):
    """A queue as clients see it."""

    application: str
    queue: str
    partitions: int
    type: QueueType
    consistency: Consistency
    principles: str | None
    created_ticks: int
    guarantee: Guarantee
    log: LogKind
    ttl_s: int
    delay_ms: int
    lease_ms: int
    max_deliveries: int
    dead_letter_queue: str
    ordering: Ordering
    max_in_flight: int
    count: int | None = None
    """Messages, where asked for."""


class CreateQueue(QueueOperation, frozen=True, kw_only=True):
    """Create a queue, or change what was sent of an existing one (its ``partitions`` never shrink)."""

    Reply: ClassVar[type[msgspec.Struct]] = QueueInfo
    settings: QueueSettings


class UpdateQueue(QueueOperation, frozen=True, kw_only=True):
    """Change what was sent; fewer ``partitions`` are refused."""

    Reply: ClassVar[type[msgspec.Struct]] = QueueInfo
    settings: QueueSettings


class DeleteQueue(QueueOperation, frozen=True, kw_only=True):
    """Delete at once; the data go in the background."""

    Reply: ClassVar[type[msgspec.Struct]] = Done


class PurgeQueue(QueueOperation, frozen=True, kw_only=True):
    """Empty the queue under a new internal id."""

    Reply: ClassVar[type[msgspec.Struct]] = Done


class DescribeQueue(QueueOperation, frozen=True, kw_only=True):
    """Ask for one queue's settings."""

    Reply: ClassVar[type[msgspec.Struct]] = QueueInfo
    reads_only: ClassVar[bool] = True


class QueuesListed(_Value, frozen=True, kw_only=True):
    """One page of queues, in a stable order."""

    queues: tuple[QueueInfo, ...]
    next: str | None
    """Where the next page begins (inclusive), or ``None`` at the end."""


class ListQueues(ApplicationOperation, frozen=True, kw_only=True):
    """List queues in a stable order, beginning with ``offset`` (inclusive, a queue's name)."""

    Reply: ClassVar[type[msgspec.Struct]] = QueuesListed
    reads_only: ClassVar[bool] = True
    offset: str | None
    limit: int
    include_count: bool


# --- messages ---------------------------------------------------------------------------------------------


class NewMessage(_Value, frozen=True, kw_only=True):
    """One message to publish."""

    body: bytes
    partition: int | None = None
    partition_key: str | None = None
    ttl_s: int | None = None
    delay_ms: int | None = None
    content_type: str | None = None
    attributes: dict[str, str] = {}
    idempotency_key: str | None = None
    """The client's own key."""


class Stored(_Value, frozen=True, kw_only=True):
    """What became of one message: stored under ``message_id``, or ``failure`` says why not."""

    message_id: bytes = b""
    partition: int = 0
    failure: Failure | None = None


class Published(_Value, frozen=True, kw_only=True):
    """One result per message, in the order sent."""

    results: tuple[Stored, ...]
    guarantee: Guarantee
    partitions: int
    """The queue's number of partitions, for the front end's choice next time."""


class Publish(QueueOperation, frozen=True, kw_only=True):
    """Publish messages; those that name neither partition nor key go to ``partition`` together."""

    Reply: ClassVar[type[msgspec.Struct]] = Published
    messages: tuple[NewMessage, ...]
    partition: int
    """Chosen by the front end before the first attempt; 0 leaves it to the node (then no second node is tried)."""
    attempt_key: str
    """Made by the front end, the same in every attempt: item i is stored once under ``<attempt_key>/<i>`` in a
    fenced log."""


class Message(_Value, frozen=True, kw_only=True):
    """A message as it is read."""

    message_id: bytes
    partition: int
    body: bytes
    content_type: str | None = None
    attributes: dict[str, str] = {}


class MessagesRead(_Value, frozen=True, kw_only=True):
    """Messages grouped by partition in the order asked for, ordered inside each."""

    messages: tuple[Message, ...]
    next: bytes
    """Opaque: one position per partition."""
    complete_until: dict[int, bytes]
    """Partition -> id up to which no acknowledged message can still appear; empty for weak reads."""
    guarantee: Guarantee


class Read(QueueOperation, frozen=True, kw_only=True):
    """Read the log by id; never changes delivery state."""

    Reply: ClassVar[type[msgspec.Struct]] = MessagesRead
    reads_only: ClassVar[bool] = True
    partitions: tuple[int, ...]
    """In the order asked for; empty means all."""
    since: bytes | None = None
    """Inclusive; the upper end when descending."""
    after: bytes | None = None
    """Exclusive ``since``."""
    until: bytes | None = None
    """Inclusive other end."""
    cursor: bytes | None = None
    """A ``next`` of before; replaces ``since`` and ``partitions``."""
    limit: int
    descending: bool = False
    wait_ms: int = 0


class ReadMessages(QueueOperation, frozen=True, kw_only=True):
    """Read by id; unknown ids are left out."""

    Reply: ClassVar[type[msgspec.Struct]] = MessagesRead
    reads_only: ClassVar[bool] = True
    ids: tuple[tuple[int, bytes], ...]
    """(partition, message id)."""


class PutMessages(QueueOperation, frozen=True, kw_only=True):
    """Write one body to every listed id, made where missing (v1's upsert)."""

    Reply: ClassVar[type[msgspec.Struct]] = Done
    ids: tuple[tuple[int, bytes], ...]
    body: bytes
    ttl_s: int | None
    content_type: str | None
    attributes: dict[str, str] = {}


class DeleteMessages(QueueOperation, frozen=True, kw_only=True):
    """Delete by id, whether or not they exist."""

    Reply: ClassVar[type[msgspec.Struct]] = Done
    ids: tuple[tuple[int, bytes], ...]


# --- delivery ---------------------------------------------------------------------------------------------


class Claimed(_Value, frozen=True, kw_only=True):
    """One message handed out."""

    message: Message
    deliveries: int
    """This delivery's number, from 1."""
    receipt: str | None
    """``None`` under at_most_once: nothing is leased."""
    lease_until_ticks: int | None


class Settled(_Value, frozen=True, kw_only=True):
    """What became of one receipt."""

    receipt: str
    outcome: str
    """``acked``, ``already_acked``, ``released``, ``extended``, ``leased``, ``lease_lost`` or ``unknown``."""
    new_receipt: str | None = None
    """After an extension."""
    lease_until_ticks: int | None = None


class Claims(_Value, frozen=True, kw_only=True):
    """Messages claimed, and what became of the receipts acked in the same call."""

    claims: tuple[Claimed, ...]
    acked: tuple[Settled, ...]
    guarantee: Guarantee


class Claim(QueueOperation, frozen=True, kw_only=True):
    """Ack ``ack``, then claim up to ``limit`` messages for ``group``."""

    Reply: ClassVar[type[msgspec.Struct]] = Claims
    group: str
    limit: int
    lease_ms: int | None
    """``None``: the queue's."""
    wait_ms: int = 0
    partitions: tuple[int, ...] = ()
    """Empty means all."""
    claim_id: str | None = None
    ack: tuple[str, ...] = ()


class Settlements(_Value, frozen=True, kw_only=True):
    """One result per receipt, in order."""

    results: tuple[Settled, ...]
    guarantee: Guarantee


class Ack(QueueOperation, frozen=True, kw_only=True):
    """Settle."""

    Reply: ClassVar[type[msgspec.Struct]] = Settlements
    receipts: tuple[str, ...]


class Release(QueueOperation, frozen=True, kw_only=True):
    """Give back, now or after ``delay_ms``."""

    Reply: ClassVar[type[msgspec.Struct]] = Settlements
    receipts: tuple[str, ...]
    delay_ms: int


class Extend(QueueOperation, frozen=True, kw_only=True):
    """Hold longer: the lease ends ``lease_ms`` from now."""

    Reply: ClassVar[type[msgspec.Struct]] = Settlements
    receipts: tuple[str, ...]
    lease_ms: int | None


class AskReceipt(QueueOperation, frozen=True, kw_only=True):
    """Ask whether an ack counted."""

    Reply: ClassVar[type[msgspec.Struct]] = Settlements
    reads_only: ClassVar[bool] = True
    receipt: str


class GroupInfo(_Value, frozen=True, kw_only=True):
    """A consumer group's progress over all partitions."""

    group: str
    backlog: int
    backlog_more: bool
    """There are more than ``backlog`` (it is exact only up to a bound)."""
    in_flight: int
    oldest_ticks: int | None
    """Time of the oldest unsettled message."""
    position: dict[int, bytes]


class Groups(_Value, frozen=True, kw_only=True):
    """All groups of a queue."""

    groups: tuple[GroupInfo, ...]
    guarantee: Guarantee


class ListGroups(QueueOperation, frozen=True, kw_only=True):
    """Ask for the progress of all groups."""

    Reply: ClassVar[type[msgspec.Struct]] = Groups
    reads_only: ClassVar[bool] = True


class SeekGroup(QueueOperation, frozen=True, kw_only=True):
    """Move a group to a place; made if it does not exist."""

    Reply: ClassVar[type[msgspec.Struct]] = Done
    group: str
    position: str
    """``start``, ``end`` or ``at``."""
    at_ticks: int | None = None
    """With ``at``: messages of that time and later are unsettled."""


class Redriven(_Value, frozen=True, kw_only=True):
    """How many dead letters went back, and how many are left."""

    redriven: int
    remaining: int


class Redrive(QueueOperation, frozen=True, kw_only=True):
    """Move dead letters back to where they came from."""

    Reply: ClassVar[type[msgspec.Struct]] = Redriven
    limit: int | None
    """``None``: all."""


# --- links, members, health -------------------------------------------------------------------------------


class RevokeLinks(ApplicationOperation, frozen=True, kw_only=True):
    """Revoke one link, or all of an application's links below an epoch."""

    Reply: ClassVar[type[msgspec.Struct]] = Done
    link_id: str | None
    epoch: int | None
    expires_ms: int
    """Unix milliseconds: how long to remember."""


class Member(_Value, frozen=True, kw_only=True):
    """A storage node as the register knows it."""

    member_id: str
    address: str
    """ZeroMQ endpoint that front ends connect to."""
    state: str
    """``serving`` or ``draining``."""
    started_ms: int
    """Unix milliseconds."""
    version: str
    in_flight: int = 0
    waiting: int = 0
    curve_key: str = ""
    """The node's public CURVE key in Z85, where the link is encrypted."""


class Members(_Value, frozen=True, kw_only=True):
    """The live members."""

    members: tuple[Member, ...]


class ListMembers(Operation, frozen=True, kw_only=True):
    """Ask any node for the live members."""

    Reply: ClassVar[type[msgspec.Struct]] = Members
    reads_only: ClassVar[bool] = True


class Ping(Operation, frozen=True, kw_only=True):
    """Does the node answer, and with ``store`` its store as well?"""

    Reply: ClassVar[type[msgspec.Struct]] = Done
    reads_only: ClassVar[bool] = True
    store: bool = False


class Cancel(Operation, frozen=True, kw_only=True):
    """Forget a waiting request of the same connection; never answered."""

    Reply: ClassVar[type[msgspec.Struct]] = Done
    request_id: int


class EndWait(Operation, frozen=True, kw_only=True):
    """Let a waiting request of the same connection answer at once what there is; itself never answered."""

    Reply: ClassVar[type[msgspec.Struct]] = Done
    request_id: int


OPERATIONS: Final[dict[str, type[Operation]]] = {
    "create_queue": CreateQueue,
    "update_queue": UpdateQueue,
    "delete_queue": DeleteQueue,
    "purge_queue": PurgeQueue,
    "describe_queue": DescribeQueue,
    "list_queues": ListQueues,
    "publish": Publish,
    "read": Read,
    "read_messages": ReadMessages,
    "put_messages": PutMessages,
    "delete_messages": DeleteMessages,
    "claim": Claim,
    "ack": Ack,
    "release": Release,
    "extend": Extend,
    "ask_receipt": AskReceipt,
    "list_groups": ListGroups,
    "seek_group": SeekGroup,
    "redrive": Redrive,
    "revoke_links": RevokeLinks,
    "list_members": ListMembers,
    "ping": Ping,
    "cancel": Cancel,
    "end_wait": EndWait,
}
"""The name an operation travels under, also its name in metrics and logs."""
