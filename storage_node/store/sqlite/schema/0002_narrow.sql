-- A publish to a queue that was long idle, and the making of a queue, touch one page each that nothing else touches.
-- What is wide lies in the order of arrival; what is found by a name or a log is narrow.

CREATE TABLE queue_by_arrival (
    number      INTEGER PRIMARY KEY,
    application TEXT NOT NULL,
    name        TEXT NOT NULL,
    version     INTEGER NOT NULL,
    row         BLOB NOT NULL
);
INSERT INTO queue_by_arrival (application, name, version, row)
    SELECT application, name, version, row FROM queue ORDER BY application, name;
DROP TABLE queue;
ALTER TABLE queue_by_arrival RENAME TO queue;
CREATE UNIQUE INDEX queue_by_name ON queue (application, name);

-- The lines of each log, by id: where each of its messages lies (`place`), and behind all of them, under the id
-- x'ff', its fence (`last`; `next` where it is closed).  So a new message and the fence it moves share a page.
CREATE TABLE log_line (
    log     INTEGER NOT NULL,
    id      BLOB NOT NULL,
    place   INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    last    BLOB,
    next    INTEGER,
    PRIMARY KEY (log, id)
) WITHOUT ROWID;
INSERT INTO log_line (log, id, place, expires)
    SELECT log, id, place, expires FROM message ORDER BY log, id;
INSERT INTO log_line (log, id, place, expires, last, next)
    SELECT number, x'ff', 0, 0, last, CASE WHEN closed THEN next END FROM log ORDER BY number;
DROP INDEX message_by_id;

-- The number of each log, which never changes; `announced` is when it was made.
CREATE TABLE log_name (
    queue_id  BLOB NOT NULL,
    partition INTEGER NOT NULL,
    lane      INTEGER NOT NULL,
    bucket    INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    announced INTEGER NOT NULL,
    PRIMARY KEY (queue_id, partition, lane, bucket)
) WITHOUT ROWID;
INSERT INTO log_name (queue_id, partition, lane, bucket, number, announced)
    SELECT queue_id, partition, lane, bucket, number, announced FROM log;
DROP TABLE log;
ALTER TABLE log_name RENAME TO log;
