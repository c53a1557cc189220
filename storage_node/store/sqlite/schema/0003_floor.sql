-- No id is stamped at or below it by a node that opens the file from now on: readers were told so.
CREATE TABLE floor (
    only  INTEGER PRIMARY KEY CHECK (only = 1),
    ticks INTEGER NOT NULL
);
INSERT INTO floor VALUES (1, 0);
