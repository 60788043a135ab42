-- The first schema. Times are whole microseconds since 1970-01-01 UTC. Words (states, verdicts, kinds) are text.
-- References are declared for readers and for the integrity check; they are not enforced at each write.

CREATE TABLE generations (
    key            INTEGER PRIMARY KEY,
    provider       TEXT    NOT NULL,
    id             TEXT    NOT NULL,
    state          TEXT,                        -- the highest recorded; null until the first
    provider_state TEXT,
    result         TEXT,                        -- JSON {"url", "urls", "text"}; null where there is none
    failure        TEXT,
    record         BLOB,                        -- the provider's own, compact JSON; null above the limit
    record_omitted INTEGER NOT NULL DEFAULT 0,
    registered_at  INTEGER NOT NULL,            -- first time
    observed_at    INTEGER,
    not_before     INTEGER,
    UNIQUE (id, provider)                       -- the ID first: a person asks by ID alone
) STRICT;

CREATE TABLE states (
    generation  INTEGER NOT NULL REFERENCES generations (key),
    state       TEXT    NOT NULL,
    observed_at INTEGER NOT NULL,
    PRIMARY KEY (generation, state)
) STRICT, WITHOUT ROWID;

CREATE TABLE watches (
    key           INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL,
    generation    INTEGER NOT NULL REFERENCES generations (key),
    target        TEXT    NOT NULL,
    endpoint      TEXT    NOT NULL,
    lane          TEXT    NOT NULL,
    status        TEXT    NOT NULL,
    round         INTEGER NOT NULL DEFAULT 0,
    metadata      BLOB    NOT NULL,
    timeout       INTEGER NOT NULL,             -- microseconds
    registered_at INTEGER NOT NULL,             -- of this round
    deadline      INTEGER NOT NULL,
    ended_at      INTEGER,
    UNIQUE (generation, target, endpoint)       -- what a watch is; keys grow, so this index grows at its end
) STRICT;

CREATE INDEX watches_open ON watches (generation, deadline) WHERE status = 'open';
CREATE INDEX watches_deadline ON watches (deadline) WHERE status = 'open';

CREATE TABLE deliveries (
    key           INTEGER PRIMARY KEY,
    message_id    TEXT    NOT NULL UNIQUE,
    watch         INTEGER NOT NULL REFERENCES watches (key),
    kind          TEXT    NOT NULL,
    type          TEXT    NOT NULL,
    endpoint      TEXT    NOT NULL,
    lane          TEXT    NOT NULL,
    status        TEXT    NOT NULL,
    reason        TEXT    NOT NULL,             -- why it is kept back; empty otherwise
    created_at    INTEGER NOT NULL,
    due_at        INTEGER,                      -- null unless pending
    attempts      INTEGER NOT NULL DEFAULT 0,   -- number of the latest attempt, the open one included
    failures      INTEGER NOT NULL DEFAULT 0,
    interruptions INTEGER NOT NULL DEFAULT 0,   -- in a row
    owner         TEXT,                         -- these three are set together: the lease
    claimed_at    INTEGER,
    leased_until  INTEGER
) STRICT;

CREATE INDEX deliveries_watch ON deliveries (watch);
CREATE INDEX deliveries_lane ON deliveries (lane, due_at) WHERE status = 'pending' AND leased_until IS NULL;
CREATE INDEX deliveries_due ON deliveries (due_at, lane) WHERE status = 'pending' AND leased_until IS NULL;
CREATE INDEX deliveries_leased ON deliveries (leased_until) WHERE leased_until IS NOT NULL;
CREATE INDEX deliveries_parked ON deliveries (endpoint) WHERE status = 'parked';

-- Apart from their deliveries, so that a claim rewrites a short row.
CREATE TABLE bodies (
    delivery     INTEGER PRIMARY KEY REFERENCES deliveries (key),
    content_type TEXT NOT NULL,
    body         BLOB NOT NULL
) STRICT;

-- Closed attempts only: the open one is the lease on its delivery.
CREATE TABLE attempts (
    delivery    INTEGER NOT NULL REFERENCES deliveries (key),
    number      INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    took        INTEGER NOT NULL,               -- microseconds
    verdict     TEXT    NOT NULL,
    status_code INTEGER,
    head        BLOB    NOT NULL,
    detail      TEXT    NOT NULL,
    PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;

-- A row that is written to see whether writing works.
CREATE TABLE probe (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    at  INTEGER NOT NULL
) STRICT;
