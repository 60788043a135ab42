-- name: directory
-- What was last told of the configured endpoints, and which epoch that began.
SELECT epoch, content FROM directory;

-- name: replace_directory
-- Another directory begins another epoch.
INSERT INTO directory (one, epoch, content, applied_at) VALUES (1, 1, ?, ?)
ON CONFLICT (one) DO UPDATE
SET epoch = epoch + 1, content = excluded.content, applied_at = excluded.applied_at
RETURNING epoch;

-- name: waiting
-- Every pending delivery that nobody works on, with its endpoint and its destination.
SELECT key, endpoint, destination FROM deliveries WHERE status = 'pending' AND leased_until IS NULL;

-- name: parked
-- Every parked delivery that may go on by itself, with its endpoint and its destination.
SELECT key, endpoint, destination FROM deliveries WHERE status = 'parked' AND resumes;

-- name: park
-- Keep one delivery back; whether it goes on by itself.
UPDATE deliveries SET status = ?, reason = ?, due_at = NULL, resumes = ? WHERE key = ?;

-- name: resume
-- Let one delivery go on.
UPDATE deliveries SET status = ?, reason = '', due_at = ? WHERE key = ?;
