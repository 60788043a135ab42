-- name: health_of
-- The health of destinations of a JSON list, as a JSON list; those of which nothing is known are left out.
SELECT json_group_array(json_array(
    e.destination, e.state, e.first_failure, e.last_failure, e.failures, e.last_success, e.warned_at, e.disabled_at, e.reason))
FROM json_each(:destinations) AS asked
CROSS JOIN endpoints AS e ON e.destination = asked.value;

-- name: all_health
-- The health of every destination of which anything is known.
SELECT destination, state, first_failure, last_failure, failures, last_success, warned_at, disabled_at, reason FROM endpoints;

-- name: save_health
-- The health of destinations from now on.
INSERT INTO endpoints (destination, state, first_failure, last_failure, failures, last_success, warned_at, disabled_at, reason)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (destination) DO UPDATE
SET state = excluded.state, first_failure = excluded.first_failure, last_failure = excluded.last_failure,
    failures = excluded.failures, last_success = excluded.last_success, warned_at = excluded.warned_at,
    disabled_at = excluded.disabled_at, reason = excluded.reason;

-- name: forget_health
-- Nothing bad is known of a destination any more.
DELETE FROM endpoints WHERE destination = ?;

-- name: forget_origins
-- Origins that failed and were sent nothing more are forgotten after a time, unless they are disabled; reads the table.
DELETE FROM endpoints WHERE state <> 'disabled' AND last_failure < ? AND instr(destination, '://') > 0;

-- name: disabled_among
-- Which destinations of a JSON list are disabled, and why, as a JSON list.
SELECT json_group_array(json_array(e.destination, e.reason))
FROM json_each(:destinations) AS asked
CROSS JOIN endpoints AS e ON e.destination = asked.value AND e.state = 'disabled';

-- name: all_disabled
-- Every destination that is disabled, and why.
SELECT destination, reason FROM endpoints WHERE state = 'disabled';

-- name: disabled_with_pending
-- A disabled destination that still has something pending that is not leased.
SELECT e.destination, e.reason FROM endpoints AS e
WHERE e.state = 'disabled' AND EXISTS (
    SELECT 1 FROM deliveries AS d WHERE d.status = 'pending' AND d.leased_until IS NULL AND d.destination = e.destination)
LIMIT 1;

-- name: park_some
-- Park some of what is pending for a destination and not leased. It does not resume by itself.
UPDATE deliveries SET status = ?, reason = ?, due_at = NULL, resumes = 0
WHERE key IN (
    SELECT key FROM deliveries WHERE status = 'pending' AND leased_until IS NULL AND destination = ? LIMIT ?);

-- name: count_parked
-- Parked deliveries of a destination, and when the first was made of those that do not resume by themselves.
SELECT count(*), (SELECT min(created_at) FROM deliveries WHERE status = 'parked' AND destination = :destination AND resumes = 0)
FROM deliveries WHERE status = 'parked' AND destination = :destination;

-- name: count_given_up
-- Deliveries of a destination that were given up in an attempt since a time, and when the first of them was made.
SELECT count(*), min(d.created_at)
FROM deliveries AS d JOIN attempts AS a ON a.delivery = d.key AND a.number = d.attempts
WHERE d.status = 'exhausted' AND d.destination = :destination AND a.started_at >= :since;

-- name: count_pending
-- Pending deliveries of a destination that are not leased.
SELECT count(*) FROM deliveries WHERE status = 'pending' AND leased_until IS NULL AND destination = ?;

-- name: unfinished_by_destination
-- Deliveries of each destination that are not finished, by status: waiting, in flight, and parked; of these, when the first
-- was made of those that do not resume by themselves.
SELECT destination, 'pending', count(*), NULL FROM deliveries
WHERE status = 'pending' AND leased_until IS NULL GROUP BY destination
UNION ALL
SELECT destination, 'pending', count(*), NULL FROM deliveries WHERE leased_until IS NOT NULL GROUP BY destination
UNION ALL
SELECT destination, 'parked', count(*), min(created_at) FILTER (WHERE resumes = 0) FROM deliveries WHERE status = 'parked' GROUP BY destination;
