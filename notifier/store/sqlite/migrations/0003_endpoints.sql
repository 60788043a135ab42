-- How each lane stands: a configured endpoint by its name, or an origin of callback URLs. No row: nothing bad is known
-- of it. An origin has a row only while something is wrong with it.

CREATE TABLE endpoints (
    lane          TEXT    NOT NULL PRIMARY KEY,
    state         TEXT    NOT NULL,
    first_failure INTEGER,                      -- after the last success; null where there is none
    last_failure  INTEGER,
    failures      INTEGER NOT NULL,             -- attempts that failed since the last success
    last_success  INTEGER,                      -- to the minute
    warned_at     INTEGER,
    disabled_at   INTEGER,
    reason        TEXT    NOT NULL              -- why it is failing or disabled; empty otherwise
) STRICT, WITHOUT ROWID;

CREATE INDEX endpoints_disabled ON endpoints (lane) WHERE state = 'disabled';

-- Parked deliveries that go on by themselves once their endpoint is configured; until now those were all of them.
ALTER TABLE deliveries ADD COLUMN resumes INTEGER NOT NULL DEFAULT 0;
UPDATE deliveries SET resumes = 1 WHERE status = 'parked';

DROP INDEX deliveries_parked;
CREATE INDEX deliveries_parked ON deliveries (lane, resumes, created_at) WHERE status = 'parked';

-- A message to the operator belongs to no watch. The column is made anew, because a NOT NULL cannot be taken back.
ALTER TABLE deliveries ADD COLUMN about INTEGER REFERENCES watches (key);
UPDATE deliveries SET about = watch;
DROP INDEX deliveries_watch;
ALTER TABLE deliveries DROP COLUMN watch;
ALTER TABLE deliveries RENAME COLUMN about TO watch;
CREATE INDEX deliveries_watch ON deliveries (watch);
