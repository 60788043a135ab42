-- name: directory
-- The endpoint directory that was applied last, and the epoch that began with it.
SELECT epoch, content FROM directory;

-- name: replace_directory
-- Another directory begins another epoch.
INSERT INTO directory (one, epoch, content, applied_at) VALUES (1, 1, ?, ?)
ON CONFLICT (one) DO UPDATE
SET epoch = epoch + 1, content = excluded.content, applied_at = excluded.applied_at
RETURNING epoch;

-- name: pending
-- Every pending delivery that is not leased, with its endpoint and its destination.
SELECT key, endpoint, destination FROM deliveries WHERE status = 'pending' AND leased_until IS NULL;

-- name: parked
-- Every parked delivery that may resume by itself, with its endpoint and its destination.
SELECT key, endpoint, destination FROM deliveries WHERE status = 'parked' AND resumes;

-- name: park
-- Park one delivery; whether it resumes by itself.
UPDATE deliveries SET status = ?, reason = ?, due_at = NULL, resumes = ? WHERE key = ?;

-- name: resume
-- Resume one delivery.
UPDATE deliveries SET status = ?, reason = '', due_at = ? WHERE key = ?;
