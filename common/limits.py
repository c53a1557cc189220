"""Every bound of the service, its unit in its name; how they relate is asserted below.

The reference in ``docs/reference.md`` is generated from this module: the docstring under a name is its text.
"""

from __future__ import annotations

from typing import Final

# Names and keys
NAME_CHARS_MAX: Final = 50
"""Characters of a queue, group or claim name."""
NAME_PATTERN: Final = r"[A-Za-z0-9\-.~:][A-Za-z0-9_\-.~:]{0,49}"
"""Letters, digits and ``_ - . ~ :``, no leading ``_``; ``.`` and ``..`` are refused besides."""
APPLICATION_KEY_CHARS_MAX: Final = 200
"""Visible ASCII characters of an application key."""
IDEMPOTENCY_KEY_CHARS_MAX: Final = 200
"""Characters of an idempotency key, as sent."""
PARTITION_KEY_CHARS_MAX: Final = 200
"""Characters of a partition key."""
CLAIM_ID_CHARS_MAX: Final = 100
"""Characters of a claim id."""
PRINCIPLES_CHARS_MAX: Final = 4_000
"""Characters of a queue's list of principals."""
CONTENT_TYPE_CHARS_MAX: Final = 200
"""Characters of a message's content type."""

# Queues
PARTITIONS_MAX: Final = 200
"""Partitions of a queue."""
LIST_QUEUES_PAGE_MAX: Final = 10_000
"""Queues that one node reply carries; the front end pages on until the client's own limit."""
GROUPS_PER_QUEUE_MAX: Final = 1_000
"""Consumer groups of a queue."""

# Messages
BODY_BYTES_MAX: Final = 1 << 20
"""Bytes of one message body unless the configuration says less or more."""
BODY_BYTES_CEILING: Final = 8 << 20
"""Bytes that the configuration may raise the body limit to."""
BATCH_MESSAGES_MAX: Final = 1_000
"""Messages in one publish."""
BATCH_BYTES_MAX: Final = 8 << 20
"""Bytes of all bodies in one publish."""
REQUEST_BYTES_MAX: Final = 12 << 20
"""Bytes of one HTTP request body: a full batch in base64 and JSON."""
ATTRIBUTES_MAX: Final = 32
"""Attributes of a message."""
ATTRIBUTE_NAME_CHARS_MAX: Final = 50
"""Characters of an attribute's name, lower case."""
ATTRIBUTE_VALUE_BYTES_MAX: Final = 1 << 10
"""Bytes of an attribute's value."""
TTL_S_MIN: Final = 1
"""Seconds a message is kept at least."""
TTL_S_MAX: Final = 1 << 25
"""Seconds a message is kept at most (about 388 days, v1)."""
TTL_S_DEFAULT: Final = 259_200
"""Seconds a message is kept unless it or its queue says otherwise (3 days, v1)."""

# Reads
READ_LIMIT_MAX: Final = 1_000
"""Messages per partition in one read."""
READ_LIMIT_DEFAULT: Final = 100
"""Messages per partition in one read unless the client says otherwise."""
READ_BYTES_MAX: Final = 16 << 20
"""Bytes of bodies in one reply of a read or claim; it ends early (``next`` goes on from there)."""
IDS_PER_URL_MAX: Final = 100
"""Message ids in one URL."""
WAIT_MS_MAX: Final = 60_000
"""Milliseconds a long poll may wait."""
CURSOR_BYTES_MAX: Final = 4_096
"""Bytes of a cursor or an SSE event id."""

# Delivery
CLAIM_LIMIT_MAX: Final = 1_000
"""Messages in one claim; receipts in one ack, release or extension."""
CLAIM_LIMIT_DEFAULT: Final = 10
"""Messages in one claim unless the client says otherwise."""
LEASE_MS_MIN: Final = 1_000
"""Milliseconds of a lease at least."""
LEASE_MS_MAX: Final = 12 * 3_600_000
"""Milliseconds of a lease at most (12 h)."""
LEASE_MS_DEFAULT: Final = 30_000
"""Milliseconds of a lease unless the client or the queue says otherwise."""
MAX_IN_FLIGHT_DEFAULT: Final = 1_000
"""Delivery entries per partition and group unless the queue says otherwise."""
MAX_IN_FLIGHT_MAX: Final = 20_000
"""Delivery entries per partition and group at most."""
MAX_DELIVERIES_MAX: Final = 1_000
"""Deliveries after which a message may be declared dead."""
ACK_MEMORY_MS: Final = 600_000
"""Milliseconds for which a repeated ack is answered ``acked`` again (10 minutes)."""
RECEIPT_CHARS_MAX: Final = 200
"""Characters of a receipt."""
BACKLOG_EXACT_MAX: Final = 10_000
"""Messages up to which a backlog is counted exactly; ``backlog_more`` beyond."""

# Time and deadlines
LATE_WINDOW_MS: Final = 5_000
"""D, the late-arrival window of plain logs in milliseconds (DESIGN, section 3)."""
PUBLISH_DEADLINE_MS: Final = 10_000
"""Milliseconds for a publish as a whole, retries included."""
REQUEST_DEADLINE_MS: Final = 10_000
"""Milliseconds for any other call, its ``wait`` not counted."""
CONNECT_DEADLINE_MS: Final = 2_000
"""Milliseconds after which a call that no node could take answers 503."""
HEARTBEAT_MS: Final = 2_000
"""Milliseconds between a node's signs of life in the register."""
MEMBER_GONE_MS: Final = 10_000
"""Milliseconds after which a silent member is gone."""
DRAIN_MS_MAX: Final = 15_000
"""Milliseconds a process may take to end what is under way."""

# The link
FRAME_BYTES_MAX: Final = 24 << 20
"""Bytes of one frame between a front end and a node."""
IN_FLIGHT_PER_NODE_MAX: Final = 4_096
"""Requests of one front-end process that one node may owe an answer, waiting ones not counted."""
WAITERS_PER_NODE_MAX: Final = 50_000
"""Waiting requests (long polls) that one node holds."""
APPENDS_QUEUED_MAX: Final = 20_000
"""Messages that may wait for one partition's writer; beyond it 503."""
APPEND_BATCH_MESSAGES_MAX: Final = 1_000
"""Messages in one append round of a partition."""
APPEND_BATCH_BYTES_MAX: Final = 8 << 20
"""Bytes in one append round of a partition."""

# Buckets (Cassandra)
BUCKET_MESSAGES_MAX: Final = 100_000
"""Messages after which a bucket is rolled."""
BUCKET_BYTES_MAX: Final = 64 << 20
"""Bytes after which a bucket is rolled."""
BUCKET_SPAN_MS: Final = 86_400_000
"""Milliseconds of the fixed grid on which buckets begin (1 day)."""

assert BATCH_BYTES_MAX * 4 // 3 < REQUEST_BYTES_MAX, "a full batch in base64 fits one request"
assert BODY_BYTES_CEILING <= BATCH_BYTES_MAX <= READ_BYTES_MAX < FRAME_BYTES_MAX, "what is stored can be read"
assert APPEND_BATCH_BYTES_MAX >= BATCH_BYTES_MAX, "a batch for one partition is one round"
assert LEASE_MS_MIN <= LEASE_MS_DEFAULT <= LEASE_MS_MAX, "the default lease is a lease"
assert MAX_IN_FLIGHT_DEFAULT <= MAX_IN_FLIGHT_MAX, "the default bound is a bound"
assert HEARTBEAT_MS * 3 < MEMBER_GONE_MS, "three lost heartbeats are no death"
assert LATE_WINDOW_MS // 2 < PUBLISH_DEADLINE_MS, "a publish may try more than once"
