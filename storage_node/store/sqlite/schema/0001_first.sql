-- Everything the embedded store keeps.  Ids are 16 sortable bytes, times are UUID ticks (100 ns) unless named *_ms.

-- One row per queue; `row` is the whole QueueRow as JSON, the columns beside it are what conditions look at.
CREATE TABLE queue (
    application TEXT NOT NULL,
    name        TEXT NOT NULL,
    version     INTEGER NOT NULL,
    row         BLOB NOT NULL,
    PRIMARY KEY (application, name)
) WITHOUT ROWID;

-- Internal ids whose data are to be erased, in the order in which they were given up.
CREATE TABLE forgotten (
    number   INTEGER PRIMARY KEY,
    queue_id BLOB NOT NULL
);

-- The fence of each bucket that was ever appended to; `number` stands for it in the tables below.
CREATE TABLE log (
    queue_id   BLOB NOT NULL,
    partition  INTEGER NOT NULL,
    lane       INTEGER NOT NULL,
    bucket     INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    announced  INTEGER NOT NULL,
    last       BLOB NOT NULL,
    closed     INTEGER NOT NULL,
    next       INTEGER,
    PRIMARY KEY (queue_id, partition, lane, bucket)
) WITHOUT ROWID;

-- The highest `log.number` given out.
CREATE TABLE log_counter (
    only  INTEGER PRIMARY KEY CHECK (only = 1),
    value INTEGER NOT NULL
);
INSERT INTO log_counter VALUES (1, 0);

-- Messages lie in the order of arrival, so that a commit writes neighbouring pages whatever queues it is for.
CREATE TABLE message (
    place        INTEGER PRIMARY KEY,
    log          INTEGER NOT NULL,
    id           BLOB NOT NULL,
    expires      INTEGER NOT NULL,
    written      INTEGER NOT NULL,
    content_type TEXT,
    attributes   BLOB,
    body         BLOB NOT NULL
);
CREATE UNIQUE INDEX message_by_id ON message (log, id);
CREATE INDEX message_by_expiry ON message (expires);

-- The keys of conditional appends; a key lives as long as its message.
CREATE TABLE log_key (
    log     INTEGER NOT NULL,
    key     BLOB NOT NULL,
    id      BLOB NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (log, key)
) WITHOUT ROWID;
CREATE INDEX log_key_by_expiry ON log_key (expires);

-- The delivery state of each group in each partition.
CREATE TABLE delivery (
    queue_id   BLOB NOT NULL,
    partition  INTEGER NOT NULL,
    group_name TEXT NOT NULL,
    version    BLOB NOT NULL,
    state      BLOB NOT NULL,
    PRIMARY KEY (queue_id, partition, group_name)
) WITHOUT ROWID;

CREATE TABLE consumer_group (
    queue_id   BLOB NOT NULL,
    group_name TEXT NOT NULL,
    created    INTEGER NOT NULL,
    start      TEXT NOT NULL,
    ends       BLOB NOT NULL,
    PRIMARY KEY (queue_id, group_name)
) WITHOUT ROWID;

-- Where the message of a client's idempotency key is.
CREATE TABLE idempotency_key (
    queue_id  BLOB NOT NULL,
    key       TEXT NOT NULL,
    partition INTEGER NOT NULL,
    lane      INTEGER NOT NULL,
    bucket    INTEGER NOT NULL,
    digest    BLOB NOT NULL,
    expires   INTEGER NOT NULL,
    PRIMARY KEY (queue_id, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_key_by_expiry ON idempotency_key (expires);

CREATE TABLE revocation (
    application TEXT NOT NULL,
    link_id     TEXT NOT NULL,
    epoch       INTEGER NOT NULL,
    expires_ms  INTEGER NOT NULL,
    PRIMARY KEY (application, link_id)
) WITHOUT ROWID;
