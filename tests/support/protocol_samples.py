"""One sample of every operation and every reply, with every field set; golden files pin their bytes."""

from __future__ import annotations

from typing import Final

import msgspec

from common.guarantees import Consistency, Guarantee, LogKind, Ordering, QueueType
from common.protocol.failures import Code, Failure
from common.protocol.operations import (
    Ack,
    AskReceipt,
    Caller,
    Cancel,
    Claim,
    Claimed,
    Claims,
    CreateQueue,
    DeleteMessages,
    DeleteQueue,
    DescribeQueue,
    Done,
    EndWait,
    Extend,
    GroupInfo,
    Groups,
    LinkGrant,
    ListGroups,
    ListMembers,
    ListQueues,
    Member,
    Members,
    Message,
    MessagesRead,
    NewMessage,
    Operation,
    Ping,
    Publish,
    Published,
    PurgeQueue,
    PutMessages,
    QueueInfo,
    QueueSettings,
    QueuesListed,
    Read,
    ReadMessages,
    Redrive,
    Redriven,
    Release,
    RevokeLinks,
    SeekGroup,
    Settled,
    Settlements,
    Stored,
    UpdateQueue,
)

ID: Final = bytes(range(16))
CALLER: Final = Caller(
    principals=("app:notes", "bid:ann@example.org"),
    link=LinkGrant(
        link_id="l1",
        epoch=2,
        operations=("read", "claim"),
        queue="in",
        prefix=True,
        expires_ms=1_800_000_000_000,
        body_bytes_max=1_000,
    ),
)
_APPLICATION: Final = {"application": "notes", "caller": CALLER}
_QUEUE: Final = {**_APPLICATION, "queue": "inbox"}
_SETTINGS: Final = QueueSettings(
    partitions=4,
    type=QueueType.PUBLIC,
    consistency=Consistency.WEAK,
    principles="bid:ann@example.org",
    ttl_s=60,
    delay_ms=5,
    lease_ms=30_000,
    max_deliveries=3,
    dead_letter_queue="dead",
    ordering=Ordering.STRICT,
    max_in_flight=10,
    log=LogKind.FENCED,
)
_INFO: Final = QueueInfo(
    application="notes",
    queue="inbox",
    partitions=4,
    type=QueueType.USER,
    consistency=Consistency.STRONG,
    principles=None,
    created_ticks=139_000_000_000_000_000,
    guarantee=Guarantee.EXACTLY_ONCE,
    log=LogKind.FENCED,
    ttl_s=60,
    delay_ms=0,
    lease_ms=30_000,
    max_deliveries=0,
    dead_letter_queue="",
    ordering=Ordering.NONE,
    max_in_flight=1_000,
    count=7,
)
_MESSAGE: Final = Message(
    message_id=ID, partition=2, body=b"\x00\xffbody", content_type="text/plain", attributes={"a": "1"}
)

OPERATION_SAMPLES: Final[dict[str, Operation]] = {
    "create_queue": CreateQueue(**_QUEUE, settings=_SETTINGS),  # type: ignore[arg-type]
    "update_queue": UpdateQueue(**_QUEUE, settings=_SETTINGS),  # type: ignore[arg-type]
    "delete_queue": DeleteQueue(**_QUEUE),  # type: ignore[arg-type]
    "purge_queue": PurgeQueue(**_QUEUE),  # type: ignore[arg-type]
    "describe_queue": DescribeQueue(**_QUEUE),  # type: ignore[arg-type]
    "list_queues": ListQueues(**_APPLICATION, offset="in", limit=10, include_count=True),  # type: ignore[arg-type]
    "publish": Publish(
        **_QUEUE,  # type: ignore[arg-type]
        messages=(
            NewMessage(
                body=b"\x00\xffbody",
                partition=1,
                partition_key="key",
                ttl_s=60,
                delay_ms=5,
                content_type="text/plain",
                attributes={"a": "1"},
                idempotency_key="once",
            ),
            NewMessage(body=b""),
        ),
        partition=3,
        attempt_key="attempt",
    ),
    "read": Read(
        **_QUEUE,  # type: ignore[arg-type]
        partitions=(1, 2),
        since=ID,
        after=ID,
        until=ID,
        cursor=b"cursor",
        limit=10,
        descending=True,
        wait_ms=1_000,
    ),
    "read_messages": ReadMessages(**_QUEUE, ids=((1, ID),)),  # type: ignore[arg-type]
    "put_messages": PutMessages(
        **_QUEUE,  # type: ignore[arg-type]
        ids=((1, ID),),
        body=b"body",
        ttl_s=60,
        content_type="text/plain",
        attributes={"a": "1"},
    ),
    "delete_messages": DeleteMessages(**_QUEUE, ids=((1, ID), (2, ID))),  # type: ignore[arg-type]
    "claim": Claim(
        **_QUEUE,  # type: ignore[arg-type]
        group="g",
        limit=10,
        lease_ms=30_000,
        wait_ms=1_000,
        partitions=(1,),
        claim_id="c",
        ack=("receipt",),
    ),
    "ack": Ack(**_QUEUE, receipts=("receipt",)),  # type: ignore[arg-type]
    "release": Release(**_QUEUE, receipts=("receipt",), delay_ms=5),  # type: ignore[arg-type]
    "extend": Extend(**_QUEUE, receipts=("receipt",), lease_ms=30_000),  # type: ignore[arg-type]
    "ask_receipt": AskReceipt(**_QUEUE, receipt="receipt"),  # type: ignore[arg-type]
    "list_groups": ListGroups(**_QUEUE),  # type: ignore[arg-type]
    "seek_group": SeekGroup(**_QUEUE, group="g", position="at", at_ticks=139_000_000_000_000_000),  # type: ignore[arg-type]
    "redrive": Redrive(**_QUEUE, limit=10),  # type: ignore[arg-type]
    "revoke_links": RevokeLinks(**_APPLICATION, link_id="l1", epoch=2, expires_ms=1_800_000_000_000),  # type: ignore[arg-type]
    "list_members": ListMembers(),
    "ping": Ping(store=True),
    "cancel": Cancel(request_id=41),
    "end_wait": EndWait(request_id=41),
}
"""By the name that travels."""

REPLY_SAMPLES: Final[dict[str, msgspec.Struct]] = {
    "queue_info": _INFO,
    "done": Done(),
    "queues_listed": QueuesListed(queues=(_INFO,), next="more"),
    "published": Published(
        results=(
            Stored(message_id=ID, partition=3),
            Stored(failure=Failure(Code.STORE_FULL, "store", "is full", 1_000, {"a": "b"})),
        ),
        guarantee=Guarantee.AT_LEAST_ONCE,
        partitions=4,
    ),
    "messages_read": MessagesRead(
        messages=(_MESSAGE,), next=b"cursor", complete_until={1: ID, 200: ID}, guarantee=Guarantee.AT_MOST_ONCE
    ),
    "claims": Claims(
        claims=(
            Claimed(message=_MESSAGE, deliveries=1, receipt="receipt", lease_until_ticks=139_000_000_000_000_000),
        ),
        acked=(Settled(receipt="receipt", outcome="acked"),),
        guarantee=Guarantee.AT_LEAST_ONCE,
    ),
    "settlements": Settlements(
        results=(
            Settled(
                receipt="receipt",
                outcome="extended",
                new_receipt="new",
                lease_until_ticks=139_000_000_000_000_000,
            ),
        ),
        guarantee=Guarantee.EXACTLY_ONCE,
    ),
    "groups": Groups(
        groups=(
            GroupInfo(
                group="g",
                backlog=10_000,
                backlog_more=True,
                in_flight=3,
                oldest_ticks=139_000_000_000_000_000,
                position={1: ID},
            ),
        ),
        guarantee=Guarantee.AT_LEAST_ONCE,
    ),
    "redriven": Redriven(redriven=3, remaining=4),
    "members": Members(
        members=(
            Member(
                member_id="m1",
                address="tcp://127.0.0.1:5570",
                state="serving",
                started_ms=1_800_000_000_000,
                version="1.0.0",
                in_flight=1,
                waiting=2,
                curve_key="key",
            ),
        )
    ),
    "failure": Failure(Code.OVERLOADED, "node", "has too much to do", 1_000, {"other": "thing"}),
}
"""By the name of the type, in snake case."""
