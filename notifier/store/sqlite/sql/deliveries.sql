-- name: open_attempts
-- Number, key and destination of the attempts that a worker has open, of a JSON list of messages, and who each is made for.
SELECT json_group_array(json_array(d.message_id, d.attempts, d.key, d.destination, d.trigger))
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
    due_at = closed.due_at, trigger = 'schedule',
    interruptions = CASE WHEN closed.interrupted THEN interruptions + 1 ELSE 0 END,
    owner = NULL, claimed_at = NULL, leased_until = NULL
FROM closed
WHERE deliveries.key = closed.key;

-- name: add_attempts
-- Closed attempts.
INSERT INTO attempts (delivery, number, trigger, started_at, took, verdict, status_code, head, detail)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: first_due_destinations
-- How many deliveries are longest overdue, counted up to a limit, and the destinations they are in, as a JSON list; disabled
-- destinations are left out of the list, not of the count.
SELECT count(*), json_group_array(DISTINCT destination) FILTER (WHERE NOT EXISTS (
    SELECT 1 FROM endpoints AS e WHERE e.destination = due.destination AND e.state = 'disabled'))
FROM (SELECT destination FROM deliveries
      WHERE status = 'pending' AND leased_until IS NULL AND due_at <= :now
      ORDER BY due_at LIMIT :limit) AS due;

-- name: last_due_destinations
-- The destinations of deliveries that fell due last, the last one first, as a JSON list: of those that did not fail before, as
-- thousands do together if their endpoints hang. Disabled destinations are left out.
SELECT json_group_array(DISTINCT destination) FILTER (WHERE NOT EXISTS (
    SELECT 1 FROM endpoints AS e WHERE e.destination = due.destination AND e.state = 'disabled'))
FROM (SELECT destination FROM (
          SELECT destination, failures FROM deliveries
          WHERE status = 'pending' AND leased_until IS NULL AND due_at <= :now
          ORDER BY due_at DESC LIMIT :looked)
      WHERE failures = 0 LIMIT :limit) AS due;

-- name: due_destinations_after
-- Distinct destinations after a given one that have something due and are not disabled, in order: one step in the index for each
-- destination, never one a row.
WITH RECURSIVE destinations (destination) AS (
    SELECT min(destination) FROM deliveries WHERE status = 'pending' AND leased_until IS NULL AND destination > :after
    UNION ALL
    SELECT (SELECT min(d.destination) FROM deliveries AS d
            WHERE d.status = 'pending' AND d.leased_until IS NULL AND d.destination > destinations.destination)
    FROM destinations WHERE destinations.destination IS NOT NULL
)
SELECT destination FROM destinations
WHERE destination IS NOT NULL AND EXISTS (
    SELECT 1 FROM deliveries AS d
    WHERE d.status = 'pending' AND d.leased_until IS NULL AND d.destination = destinations.destination AND d.due_at <= :now)
AND NOT EXISTS (SELECT 1 FROM endpoints AS e WHERE e.destination = destinations.destination AND e.state = 'disabled');

-- name: due_of_destinations
-- Those of a JSON list of destinations that have something due and are not disabled.
SELECT json_group_array(asked.value)
FROM json_each(:destinations) AS asked
WHERE EXISTS (
    SELECT 1 FROM deliveries AS d
    WHERE d.status = 'pending' AND d.leased_until IS NULL AND d.destination = asked.value AND d.due_at <= :now)
AND NOT EXISTS (SELECT 1 FROM endpoints AS e WHERE e.destination = asked.value AND e.state = 'disabled');

-- name: due_in_destination
-- Keys of one destination's longest overdue deliveries, after so many that are taken already; none if it is disabled, whoever
-- asks.
SELECT json_group_array(key)
FROM (SELECT key FROM deliveries
      WHERE status = 'pending' AND leased_until IS NULL AND destination = :destination AND due_at <= :now
        AND NOT EXISTS (SELECT 1 FROM endpoints WHERE destination = :destination AND state = 'disabled')
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
           d.due_at, d.key, length(b.body), d.message_id, d.endpoint, d.destination, d.type, b.content_type, d.attempts,
           d.failures, d.interruptions, d.claimed_at, d.leased_until, coalesce(g.provider, ''), coalesce(g.id, ''),
           coalesce(w.id, ''), d.trigger)),
       CAST(group_concat(CAST(b.body AS TEXT), '') AS BLOB)
FROM json_each(:keys) AS k
CROSS JOIN deliveries AS d ON d.key = k.value
CROSS JOIN bodies AS b ON b.delivery = d.key
LEFT JOIN watches AS w ON w.key = d.watch
LEFT JOIN generations AS g ON g.key = w.generation;

-- name: next_due
-- The earliest time after now at which a delivery falls due; null if none will.
SELECT min(due_at) FROM deliveries WHERE status = 'pending' AND leased_until IS NULL AND due_at > ?;

-- name: leases_that_lapsed
-- Every open attempt whose lease ran out before a time or has no owner any more; one worker's are left out.
SELECT key, message_id, destination, attempts, failures, interruptions, claimed_at, leased_until, trigger
FROM deliveries
WHERE leased_until IS NOT NULL AND (leased_until < :now OR owner = '') AND owner IS NOT :sparing
ORDER BY key;

-- name: leases_of
-- Every open attempt of one worker.
SELECT key, message_id, destination, attempts, failures, interruptions, claimed_at, leased_until, trigger
FROM deliveries
WHERE leased_until IS NOT NULL AND owner = :owner
ORDER BY key;

-- name: disown_leases
-- Nobody has any lease that the last run left.
UPDATE deliveries SET owner = '' WHERE leased_until IS NOT NULL AND owner <> '';
