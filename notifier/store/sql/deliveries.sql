-- name: close_attempt
-- An attempt's outcome moves its delivery and gives the lease back, if the lease on that very attempt still stands.
UPDATE deliveries
SET status = ?, reason = ?, failures = ?, due_at = ?, interruptions = CASE WHEN ? THEN interruptions + 1 ELSE 0 END,
    owner = NULL, claimed_at = NULL, leased_until = NULL
WHERE message_id = ? AND owner = ? AND attempts = ? AND status = 'pending'
RETURNING key;

-- name: add_attempt
-- A closed attempt.
INSERT INTO attempts (delivery, number, started_at, took, verdict, status_code, head, detail)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: first_due_lanes
-- Lanes of what is longest overdue, one row for each delivery, up to a limit.
SELECT lane FROM deliveries
WHERE status = 'pending' AND leased_until IS NULL AND due_at <= ?
ORDER BY due_at
LIMIT ?;

-- name: due_lanes_after
-- Distinct lanes after a given one that have something due, in order: one step in the index for each lane, never one a row.
WITH RECURSIVE lanes (lane) AS (
    SELECT min(lane) FROM deliveries WHERE status = 'pending' AND leased_until IS NULL AND lane > :after
    UNION ALL
    SELECT (SELECT min(d.lane) FROM deliveries AS d
            WHERE d.status = 'pending' AND d.leased_until IS NULL AND d.lane > lanes.lane)
    FROM lanes WHERE lanes.lane IS NOT NULL
)
SELECT lane FROM lanes
WHERE lane IS NOT NULL AND EXISTS (
    SELECT 1 FROM deliveries AS d
    WHERE d.status = 'pending' AND d.leased_until IS NULL AND d.lane = lanes.lane AND d.due_at <= :now);

-- name: claim_in_lane
-- Lease the longest overdue deliveries of one lane; this opens and numbers their attempts.
UPDATE deliveries
SET owner = :owner, claimed_at = :now, leased_until = :until, attempts = attempts + 1
WHERE key IN (
    SELECT key FROM deliveries
    WHERE status = 'pending' AND leased_until IS NULL AND lane = :lane AND due_at <= :now
    ORDER BY due_at, key LIMIT :most)
RETURNING key;

-- name: claimed
-- What the sender must know of the deliveries just claimed (a JSON list of keys), longest overdue first.
SELECT d.message_id, d.endpoint, d.lane, d.type, b.content_type, b.body, d.attempts, d.failures, d.interruptions,
       d.claimed_at, d.leased_until, g.provider, g.id, w.id
FROM json_each(?) AS k
CROSS JOIN deliveries AS d ON d.key = k.value
CROSS JOIN bodies AS b ON b.delivery = d.key
CROSS JOIN watches AS w ON w.key = d.watch
CROSS JOIN generations AS g ON g.key = w.generation
ORDER BY d.due_at, d.key;

-- name: next_due
-- The earliest time after now at which a delivery falls due; null where none will.
SELECT min(due_at) FROM deliveries WHERE status = 'pending' AND leased_until IS NULL AND due_at > ?;

-- name: leases
-- Every open attempt whose lease ran out before a time.
SELECT key, message_id, lane, attempts, failures, interruptions, claimed_at, leased_until
FROM deliveries
WHERE leased_until IS NOT NULL AND leased_until < ?
ORDER BY key;

-- name: free_lease
-- An attempt ends without an outcome.
UPDATE deliveries
SET status = ?, reason = ?, failures = ?, due_at = ?, interruptions = interruptions + 1,
    owner = NULL, claimed_at = NULL, leased_until = NULL
WHERE key = ?;

-- name: waiting
-- Every pending delivery that nobody works on, with its endpoint.
SELECT key, endpoint FROM deliveries WHERE status = 'pending' AND leased_until IS NULL;

-- name: parked
-- Every parked delivery with its endpoint.
SELECT key, endpoint FROM deliveries WHERE status = 'parked';

-- name: park
-- Keep one delivery back.
UPDATE deliveries SET status = ?, reason = ?, due_at = NULL WHERE key = ?;

-- name: resume
-- Let one delivery go on.
UPDATE deliveries SET status = ?, reason = '', due_at = ? WHERE key = ?;
