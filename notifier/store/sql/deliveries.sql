-- name: standing_leases
-- Key and number of the attempts that a worker has open, of a JSON list of messages.
SELECT json_group_array(json_array(d.message_id, d.attempts, d.key))
FROM json_each(:messages) AS asked
CROSS JOIN deliveries AS d ON d.message_id = asked.value
WHERE d.owner = :owner AND d.status = 'pending';

-- name: close_attempts
-- Outcomes move their deliveries and give the leases back; one that nobody knows counts as an interruption.
WITH closed (key, status, reason, failures, due_at, interrupted) AS (
    VALUES (?, ?, ?, ?, ?, ?)
)
UPDATE deliveries
SET status = closed.status, reason = closed.reason, failures = closed.failures, due_at = closed.due_at,
    interruptions = CASE WHEN closed.interrupted THEN interruptions + 1 ELSE 0 END,
    owner = NULL, claimed_at = NULL, leased_until = NULL
FROM closed
WHERE deliveries.key = closed.key;

-- name: add_attempts
-- Closed attempts.
INSERT INTO attempts (delivery, number, started_at, took, verdict, status_code, head, detail)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: first_due_lanes
-- How many deliveries are longest overdue, counted up to a limit, and the lanes they are in, as a JSON list.
SELECT count(*), json_group_array(DISTINCT lane)
FROM (SELECT lane FROM deliveries
      WHERE status = 'pending' AND leased_until IS NULL AND due_at <= :now
      ORDER BY due_at LIMIT :limit);

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

-- name: due_of_lanes
-- Those of a JSON list of lanes that have something due.
SELECT json_group_array(asked.value)
FROM json_each(:lanes) AS asked
WHERE EXISTS (
    SELECT 1 FROM deliveries AS d
    WHERE d.status = 'pending' AND d.leased_until IS NULL AND d.lane = asked.value AND d.due_at <= :now);

-- name: due_in_lane
-- Keys of one lane's longest overdue deliveries, after so many that are taken already.
SELECT json_group_array(key)
FROM (SELECT key FROM deliveries
      WHERE status = 'pending' AND leased_until IS NULL AND lane = :lane AND due_at <= :now
      ORDER BY due_at, key LIMIT :most OFFSET :taken);

-- name: lease
-- Lease deliveries; this opens and numbers their attempts.
WITH taken (key, owner, claimed_at, leased_until) AS (
    VALUES (?, ?, ?, ?)
)
UPDATE deliveries
SET owner = taken.owner, claimed_at = taken.claimed_at, leased_until = taken.leased_until, attempts = attempts + 1
FROM taken
WHERE deliveries.key = taken.key;

-- name: claimed
-- What the sender must know of the deliveries just claimed (a JSON list of keys), as a JSON list; their bodies one after
-- the other, in the same order and each as long as its row says.
SELECT json_group_array(json_array(
           d.due_at, d.key, d.message_id, d.endpoint, d.lane, d.type, b.content_type, length(b.body), d.attempts,
           d.failures, d.interruptions, d.claimed_at, d.leased_until, g.provider, g.id, w.id)),
       CAST(group_concat(CAST(b.body AS TEXT), '') AS BLOB)
FROM json_each(:keys) AS k
CROSS JOIN deliveries AS d ON d.key = k.value
CROSS JOIN bodies AS b ON b.delivery = d.key
CROSS JOIN watches AS w ON w.key = d.watch
CROSS JOIN generations AS g ON g.key = w.generation;

-- name: next_due
-- The earliest time after now at which a delivery falls due; null where none will.
SELECT min(due_at) FROM deliveries WHERE status = 'pending' AND leased_until IS NULL AND due_at > ?;

-- name: leases
-- Every open attempt whose lease ran out before a time, one worker's left out.
SELECT key, message_id, lane, attempts, failures, interruptions, claimed_at, leased_until
FROM deliveries
WHERE leased_until IS NOT NULL AND leased_until < ? AND owner IS NOT ?
ORDER BY key;

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
