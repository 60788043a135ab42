-- name: standings_of
-- How the lanes of a JSON list stand, as a JSON list; those of which nothing is known are left out.
SELECT json_group_array(json_array(
    e.lane, e.state, e.first_failure, e.last_failure, e.failures, e.last_success, e.warned_at, e.disabled_at, e.reason))
FROM json_each(:lanes) AS asked
CROSS JOIN endpoints AS e ON e.lane = asked.value;

-- name: all_standings
-- How every lane stands of which anything is known.
SELECT lane, state, first_failure, last_failure, failures, last_success, warned_at, disabled_at, reason FROM endpoints;

-- name: save_standings
-- How lanes stand from now on.
INSERT INTO endpoints (lane, state, first_failure, last_failure, failures, last_success, warned_at, disabled_at, reason)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (lane) DO UPDATE
SET state = excluded.state, first_failure = excluded.first_failure, last_failure = excluded.last_failure,
    failures = excluded.failures, last_success = excluded.last_success, warned_at = excluded.warned_at,
    disabled_at = excluded.disabled_at, reason = excluded.reason;

-- name: forget_standing
-- Nothing bad is known of a lane any more.
DELETE FROM endpoints WHERE lane = ?;

-- name: forget_origins
-- Origins that failed and were sent nothing more are forgotten after a time, unless they are disabled; reads the table.
DELETE FROM endpoints WHERE state <> 'disabled' AND last_failure < ? AND instr(lane, '://') > 0;

-- name: disabled_among
-- Which lanes of a JSON list are disabled, and why, as a JSON list.
SELECT json_group_array(json_array(e.lane, e.reason))
FROM json_each(:lanes) AS asked
CROSS JOIN endpoints AS e ON e.lane = asked.value AND e.state = 'disabled';

-- name: all_disabled
-- Every lane that is disabled, and why.
SELECT lane, reason FROM endpoints WHERE state = 'disabled';

-- name: disabled_and_owed
-- A disabled lane for which something still waits that nobody works on.
SELECT e.lane, e.reason FROM endpoints AS e
WHERE e.state = 'disabled' AND EXISTS (
    SELECT 1 FROM deliveries AS d WHERE d.status = 'pending' AND d.leased_until IS NULL AND d.lane = e.lane)
LIMIT 1;

-- name: park_some
-- Keep back some of what waits for a lane and nobody works on. It does not go on by itself.
UPDATE deliveries SET status = ?, reason = ?, due_at = NULL, resumes = 0
WHERE key IN (
    SELECT key FROM deliveries WHERE status = 'pending' AND leased_until IS NULL AND lane = ? LIMIT ?);

-- name: count_parked
-- Deliveries of a lane that are kept back, and when the first was made of those that do not go on by themselves.
SELECT count(*), (SELECT min(created_at) FROM deliveries WHERE status = 'parked' AND lane = :lane AND resumes = 0)
FROM deliveries WHERE status = 'parked' AND lane = :lane;

-- name: count_given_up
-- Deliveries of a lane that were given up in an attempt since a time, and when the first of them was made.
SELECT count(*), min(d.created_at)
FROM deliveries AS d JOIN attempts AS a ON a.delivery = d.key AND a.number = d.attempts
WHERE d.status = 'exhausted' AND d.lane = :lane AND a.started_at >= :since;

-- name: count_waiting
-- Deliveries of a lane that wait and that nobody works on.
SELECT count(*) FROM deliveries WHERE status = 'pending' AND leased_until IS NULL AND lane = ?;

-- name: owed_by_lane
-- What is owed to each lane, by status: waiting, in flight, and kept back; of these, when the first was made of those
-- that do not go on by themselves.
SELECT lane, 'pending', count(*), NULL FROM deliveries
WHERE status = 'pending' AND leased_until IS NULL GROUP BY lane
UNION ALL
SELECT lane, 'pending', count(*), NULL FROM deliveries WHERE leased_until IS NOT NULL GROUP BY lane
UNION ALL
SELECT lane, 'parked', count(*), min(created_at) FILTER (WHERE resumes = 0) FROM deliveries WHERE status = 'parked' GROUP BY lane;
