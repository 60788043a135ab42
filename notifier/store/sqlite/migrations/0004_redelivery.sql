-- Who an attempt is made for: the schedule, or a person who asked for the message again.

ALTER TABLE attempts ADD COLUMN asked_by TEXT NOT NULL DEFAULT 'schedule';
-- The same of the next attempt, or of the open one.
ALTER TABLE deliveries ADD COLUMN asked_by TEXT NOT NULL DEFAULT 'schedule';
