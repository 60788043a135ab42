-- What looks have taught of how long generations take, so that a restart does not forget it. One row for each curve;
-- what is in `body` is `polling.cadence`'s to read, and a form it does not know is learned anew.

CREATE TABLE learned (
    provider TEXT    NOT NULL,
    name     TEXT    NOT NULL,                  -- which curve of the provider
    body     BLOB    NOT NULL,                  -- JSON
    saved_at INTEGER NOT NULL,
    PRIMARY KEY (provider, name)
) STRICT, WITHOUT ROWID;
