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
REDRIVE_LIMIT_MAX: Final = 1_000_000
"""Dead letters that one redrive may be told to move; without a number it moves all."""
RECEIPT_CHARS_MAX: Final = 200
"""Characters of a receipt."""
BACKLOG_EXACT_MAX: Final = 10_000
"""Messages up to which a backlog is counted exactly; ``backlog_more`` beyond."""

# Time and deadlines
LATE_WINDOW_MS: Final = 5_000
"""D, the late-arrival window of plain logs in milliseconds."""
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

# Processes
FRONT_END_WORKERS_MAX: Final = 256
"""Front-end processes of one machine."""
NODE_PROCESSES_MAX: Final = 64
"""Storage-node processes of one machine."""

# The link
FRAME_BYTES_MAX: Final = 24 << 20
"""Bytes of one frame between a front end and a node."""
FRAME_ITEMS_MAX: Final = 1 << 18
"""Elements of one array or map inside a frame."""
IN_FLIGHT_BYTES_PER_NODE_MAX: Final = 256 << 20
"""Bytes of the requests that one node owes an answer; beyond it 503."""
LINK_HEARTBEAT_MS: Final = 400
"""Milliseconds between two signs of life on a connection between a front end and a node."""
LINK_SILENCE_MS_MAX: Final = 1_200
"""Milliseconds without a sign of life after which a connection is given up."""
MEMBERS_REFRESH_MS: Final = 1_000
"""Milliseconds between two questions of a front end for the members."""
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

# The embedded store
STORE_WAITING_MAX: Final = 10_000
"""Requests that may wait for the writing thread, or for one reading thread, of the embedded store; beyond it 503."""
STORE_WAITING_BYTES_MAX: Final = 128 << 20
"""Bytes that may wait for the writing thread; beyond it 503."""
STORE_GROUP_MAX: Final = 512
"""Requests that share one commit."""
STORE_READS_MAX: Final = 16
"""Reads whose answers go back to the event loop together."""

# Buckets (Cassandra)
BUCKET_MESSAGES_MAX: Final = 100_000
"""Messages after which a bucket is rolled."""
BUCKET_BYTES_MAX: Final = 64 << 20
"""Bytes after which a bucket is rolled."""
BUCKET_SPAN_MS: Final = 86_400_000
"""Milliseconds of the fixed grid on which buckets begin (1 day)."""

# HTTP
FORM_BYTES_MAX: Final = 64 << 10
"""Bytes of a request body that holds a queue's settings, a form or JSON."""
DELIVERY_REQUEST_BYTES_MAX: Final = 1 << 20
"""Bytes of the JSON body of a claim, ack, release, extension, seek, redrive or revocation."""
QUERY_FIELDS_MAX: Final = 100
"""Fields of a query string or a form."""
REQUEST_ID_CHARS_MAX: Final = 64
"""Characters of an ``X-Request-Id`` that is taken over from the client."""
STREAM_QUEUES_MAX: Final = 20
"""Queues that one event stream follows."""
STREAM_HEARTBEAT_MS: Final = 15_000
"""Milliseconds after which an idle event stream sends a comment."""
STREAM_WAIT_MS: Final = 9_000
"""Milliseconds that one read of an event stream waits: so long a stream may go on when its process is to end."""
STREAM_S_MAX: Final = 3_600
"""Seconds after which an event stream ends; the client resumes with its last event id."""
STREAM_PAGES_KEPT_MAX: Final = 8
"""Pages that a read shared by several streams keeps for those that are slower than others."""
STREAM_PAGES_QUEUED_MAX: Final = 4
"""Pages that wait to be sent in one stream of several queues."""
STREAMS_PER_PROCESS_MAX: Final = 6_000
"""Event streams that one front-end process serves at a time."""
QUEUES_REMEMBERED_MAX: Final = 4_000
"""Queues whose number of partitions one front-end process remembers, about 250 bytes each."""

# Memory of a storage node
QUEUE_ROWS_KEPT_MAX: Final = 3_000
"""Queues whose row a node remembers, each for less than D/2; about 800 bytes each."""
LOGS_KEPT_MAX: Final = 10_000
"""Logs of which a node remembers buckets and fence."""
REVOCATIONS_KEPT_MS: Final = 4_000
"""Milliseconds for which a node uses the list of revoked links that it read."""
RESCAN_MS: Final = 2_000
"""Milliseconds between two looks for what other nodes published to a partition that somebody waits for."""
RESCANS_PER_S_MAX: Final = 500
"""Such looks per second of one node."""
ERASE_PAUSE_MS: Final = 50
"""Milliseconds between two steps of erasing in the background, while there is more to erase."""
ERASE_IDLE_MS: Final = 5_000
"""Milliseconds between two looks for something to erase."""

# Identity and access
PRINCIPALS_MAX: Final = 100
"""Principals that a queue may list."""
EMAIL_CHARS_MAX: Final = 254
"""Characters of a user's e-mail address."""
DOMAIN_CHARS_MAX: Final = 253
"""Characters of a domain."""
AUTHORIZATION_CHARS_MAX: Final = 16_384
"""Characters of an ``Authorization`` header, all its credentials together."""
CREDENTIALS_MAX: Final = 8
"""Credentials in one ``Authorization`` header."""
ASSERTION_CHARS_MAX: Final = 8_192
"""Characters of a BrowserID assertion with its certificate."""
ASSERTION_LIFETIME_S_MAX: Final = 300
"""Seconds a BrowserID assertion may end ahead of now, clock skew not counted."""
CERTIFICATE_LIFETIME_S_MAX: Final = 86_400
"""Seconds a BrowserID certificate may end ahead of now, clock skew not counted."""
CLOCK_SKEW_S_DEFAULT: Final = 60
"""Seconds by which an issuer's or a user's clock may differ from ours."""
CLOCK_SKEW_S_MAX: Final = 300
"""Seconds that the configuration may raise the clock skew to."""
DELEGATIONS_MAX: Final = 6
"""Times that BrowserID support documents may name another authority."""
DOCUMENT_BYTES_MAX: Final = 65_536
"""Bytes of a document fetched from an issuer, head included, or read from a key file."""
DOCUMENT_FETCH_MS_MAX: Final = 2_000
"""Milliseconds for fetching a document from an issuer."""
SUPPORT_DOCUMENT_KEPT_MS: Final = 3_600_000
"""Milliseconds a BrowserID support document is used before it is fetched again."""
SUPPORT_DOCUMENT_FAILURE_KEPT_MS: Final = 60_000
"""Milliseconds for which an issuer that gave no document is not asked again."""
KEY_SET_KEPT_MS: Final = 300_000
"""Milliseconds an OIDC key set is used before it is fetched again."""
KEY_SET_COOL_DOWN_MS: Final = 30_000
"""Milliseconds between two fetches of one OIDC key set, whatever the tokens name or however they fail."""
KEY_SET_STALE_MS_MAX: Final = 3_600_000
"""Milliseconds an OIDC key set is still used when its issuer does not answer."""
TOKEN_CHARS_MAX: Final = 8_192
"""Characters of an OIDC ID token."""
TOKEN_REMEMBERED_MS_MAX: Final = 300_000
"""Milliseconds for which a verified token is not verified again: a withdrawn key ends its tokens within that."""
TOKENS_REMEMBERED_MAX: Final = 10_000
"""Verified tokens that one front-end process remembers per application."""
LINK_CHARS_MAX: Final = 1_024
"""Characters of a capability link's token."""
LINK_ID_CHARS_MAX: Final = 64
"""Characters of a link's id, and of a link secret's name."""
LINK_SECRET_BYTES_MIN: Final = 32
"""Bytes of a link secret at least."""
LINK_SECRET_BYTES_MAX: Final = 1_024
"""Bytes of a link secret at most."""
LINK_LIFETIME_S_MAX: Final = 34_560_000
"""Seconds a link may end ahead of now (400 days); revocations are remembered no longer."""
LINK_REQUESTS_PER_MINUTE_MAX: Final = 1_000_000
"""Requests per minute that a link's rate may name."""
LINK_RATES_TRACKED_MAX: Final = 10_000
"""Links with a rate that one front-end process counts at a time."""

assert STREAM_WAIT_MS < REQUEST_DEADLINE_MS, "streams end within the time that a front end has to end"
assert BATCH_BYTES_MAX * 4 // 3 < REQUEST_BYTES_MAX, "a full batch in base64 fits one request"
assert BODY_BYTES_CEILING <= BATCH_BYTES_MAX <= READ_BYTES_MAX < FRAME_BYTES_MAX, "what is stored can be read"
assert APPEND_BATCH_BYTES_MAX >= BATCH_BYTES_MAX, "a batch for one partition is one round"
assert LEASE_MS_MIN <= LEASE_MS_DEFAULT <= LEASE_MS_MAX, "the default lease is a lease"
assert MAX_IN_FLIGHT_DEFAULT <= MAX_IN_FLIGHT_MAX, "the default bound is a bound"
assert READ_LIMIT_MAX * PARTITIONS_MAX < FRAME_ITEMS_MAX, "the largest read fits one frame"
assert LINK_HEARTBEAT_MS + LINK_SILENCE_MS_MAX < CONNECT_DEADLINE_MS, "a frozen node is noticed in time"
assert HEARTBEAT_MS * 3 < MEMBER_GONE_MS, "three lost heartbeats are no death"
assert LATE_WINDOW_MS // 2 < PUBLISH_DEADLINE_MS, "a publish may try more than once"
