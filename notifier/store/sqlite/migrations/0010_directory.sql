-- The endpoint directory that was applied last: it decides which messages leave, whoever writes them. At most one row;
-- no row: none was applied yet.

CREATE TABLE directory (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    epoch      INTEGER NOT NULL,                -- one more each time that the content changes
    content    TEXT    NOT NULL,                -- JSON: an `EndpointDirectory`, its `disabled` left out
    applied_at INTEGER NOT NULL
) STRICT;

-- Who an attempt is made for is called its trigger.
ALTER TABLE attempts RENAME COLUMN asked_by TO trigger;
ALTER TABLE deliveries RENAME COLUMN asked_by TO trigger;
