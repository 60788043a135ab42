-- name: standing_leases
-- Number, key and lane of the attempts that a worker has open, of a JSON list of messages, and who each is made for.
SELECT json_group_array(json_array(d.message_id, d.attempts, d.key, d.lane, d.asked_by))
FROM json_each(:messages) AS asked
CROSS JOIN deliveries AS d ON d.message_id = asked.value
WHERE d.owner = :owner AND d.status = 'pending';

-- name: close_attempts
-- Outcomes move their deliveries and give the leases back; one that nobody knows counts as an interruption.
WITH closed (key, status, reason, resumes, failures, due_at, interrupted) AS (
    VALUES (?, ?, ?, ?, ?, ?, ?)
)
UPDATE deliveries
SET status = closed.status, reason = closed.reason, resumes = closed.resumes, failures = closed.failures,
    due_at = closed.due_at, asked_by = 'schedule',
    interruptions = CASE WHEN closed.interrupted THEN interruptions + 1 ELSE 0 END,
    owner = NULL, claimed_at = NULL, leased_until = NULL
FROM closed
WHERE deliveries.key = closed.key;

-- name: add_attempts
-- Closed attempts.
INSERT INTO attempts (delivery, number, asked_by, started_at, took, verdict, status_code, head, detail)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: first_due_lanes
-- How many deliveries are longest overdue, counted up to a limit, and the lanes they are in, as a JSON list; disabled
-- lanes are left out of the list, not of the count.
SELECT count(*), json_group_array(DISTINCT lane) FILTER (WHERE NOT EXISTS (
    SELECT 1 FROM endpoints AS e WHERE e.lane = due.lane AND e.state = 'disabled'))
FROM (SELECT lane FROM deliveries
      WHERE status = 'pending' AND leased_until IS NULL AND due_at <= :now
      ORDER BY due_at LIMIT :limit) AS due;

-- name: last_due_lanes
-- The lanes of deliveries that fell due last, the last one first, as a JSON list: of those that did not fail before, as
-- thousands do together where their endpoints hang. Disabled lanes are left out.
SELECT json_group_array(DISTINCT lane) FILTER (WHERE NOT EXISTS (
    SELECT 1 FROM endpoints AS e WHERE e.lane = due.lane AND e.state = 'disabled'))
FROM (SELECT lane FROM (
          SELECT lane, failures FROM deliveries
          WHERE status = 'pending' AND leased_until IS NULL AND due_at <= :now
          ORDER BY due_at DESC LIMIT :looked)
      WHERE failures = 0 LIMIT :limit) AS due;

-- name: due_lanes_after
-- Distinct lanes after a given one that have something due and are not disabled, in order: one step in the index for each
-- lane, never one a row.
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
    WHERE d.status = 'pending' AND d.leased_until IS NULL AND d.lane = lanes.lane AND d.due_at <= :now)
AND NOT EXISTS (SELECT 1 FROM endpoints AS e WHERE e.lane = lanes.lane AND e.state = 'disabled');

-- name: due_of_lanes
-- Those of a JSON list of lanes that have something due and are not disabled.
SELECT json_group_array(asked.value)
FROM json_each(:lanes) AS asked
WHERE EXISTS (
    SELECT 1 FROM deliveries AS d
    WHERE d.status = 'pending' AND d.leased_until IS NULL AND d.lane = asked.value AND d.due_at <= :now)
AND NOT EXISTS (SELECT 1 FROM endpoints AS e WHERE e.lane = asked.value AND e.state = 'disabled');

-- name: due_in_lane
-- Keys of one lane's longest overdue deliveries, after so many that are taken already; none where it is disabled, whoever
-- asks.
SELECT json_group_array(key)
FROM (SELECT key FROM deliveries
      WHERE status = 'pending' AND leased_until IS NULL AND lane = :lane AND due_at <= :now
        AND NOT EXISTS (SELECT 1 FROM endpoints WHERE lane = :lane AND state = 'disabled')
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
           d.failures, d.interruptions, d.claimed_at, d.leased_until, coalesce(g.provider, ''), coalesce(g.id, ''),
           coalesce(w.id, ''), d.asked_by)),
       CAST(group_concat(CAST(b.body AS TEXT), '') AS BLOB)
FROM json_each(:keys) AS k
CROSS JOIN deliveries AS d ON d.key = k.value
CROSS JOIN bodies AS b ON b.delivery = d.key
LEFT JOIN watches AS w ON w.key = d.watch
LEFT JOIN generations AS g ON g.key = w.generation;

-- name: next_due
-- The earliest time after now at which a delivery falls due; null where none will.
SELECT min(due_at) FROM deliveries WHERE status = 'pending' AND leased_until IS NULL AND due_at > ?;

-- name: leases
-- Every open attempt whose lease ran out before a time, one worker's left out.
SELECT key, message_id, lane, attempts, failures, interruptions, claimed_at, leased_until, asked_by
FROM deliveries
WHERE leased_until IS NOT NULL AND leased_until < ? AND owner IS NOT ?
ORDER BY key;

-- name: waiting
-- Every pending delivery that nobody works on, with its endpoint and its lane.
SELECT key, endpoint, lane FROM deliveries WHERE status = 'pending' AND leased_until IS NULL;

-- name: parked
-- Every parked delivery that may go on by itself, with its endpoint and its lane.
SELECT key, endpoint, lane FROM deliveries WHERE status = 'parked' AND resumes;

-- name: park
-- Keep one delivery back; whether it goes on by itself.
UPDATE deliveries SET status = ?, reason = ?, due_at = NULL, resumes = ? WHERE key = ?;

-- name: resume
-- Let one delivery go on.
UPDATE deliveries SET status = ?, reason = '', due_at = ? WHERE key = ?;
