-- How often watches that were forgotten had been reopened: only of those that were. Registered again, such a watch goes on
-- with that number, so that its messages have the IDs they had.

CREATE TABLE rounds (
    watch    TEXT    NOT NULL PRIMARY KEY,      -- its ID, which says what it is
    round    INTEGER NOT NULL,
    ended_at INTEGER NOT NULL                   -- when the watch ended
) STRICT, WITHOUT ROWID;

CREATE INDEX rounds_ended ON rounds (ended_at);
