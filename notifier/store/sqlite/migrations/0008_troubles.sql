-- Why there is no answer, so that a person can be told: about one generation, or of a provider at all. A row is written
-- when that changes, not at each look. A generation keeps the last trouble that its watches ended with.

ALTER TABLE generations ADD COLUMN trouble TEXT;  -- JSON {"kind", "reason", "since", "last", "times"}; null: answered

CREATE INDEX generations_troubled ON generations (provider) WHERE trouble IS NOT NULL;

CREATE TABLE troubles (
    provider TEXT NOT NULL PRIMARY KEY,         -- none: it answers
    trouble  TEXT NOT NULL                      -- as above
) STRICT, WITHOUT ROWID;
