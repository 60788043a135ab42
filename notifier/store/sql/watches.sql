-- name: find_generation
-- One generation by its ID and provider.
SELECT key, provider, id, state, provider_state, result, failure, record, record_omitted, registered_at, observed_at, not_before
FROM generations
WHERE id = ? AND provider = ?;

-- name: find_generation_by_key
-- One generation by its key.
SELECT key, provider, id, state, provider_state, result, failure, record, record_omitted, registered_at, observed_at, not_before
FROM generations
WHERE key = ?;

-- name: add_generation
-- A generation that nobody watched before.
INSERT INTO generations (provider, id, registered_at) VALUES (?, ?, ?);

-- name: find_watch
-- One watch by what it is, open or not.
SELECT key, id, target, endpoint, lane, status, round, metadata, timeout, registered_at, deadline
FROM watches
WHERE generation = ? AND target = ? AND endpoint = ?;

-- name: add_watch
-- A watch that was never registered before, or was forgotten.
INSERT INTO watches (id, generation, target, endpoint, lane, status, round, metadata, timeout, registered_at, deadline)
VALUES (?, ?, ?, ?, ?, 'open', ?, ?, ?, ?, ?);

-- name: any_round
-- Whether there is any forgotten watch that had been reopened.
SELECT 1 FROM rounds LIMIT 1;

-- name: take_round
-- How often a forgotten watch had been reopened; from now on its new row says so.
DELETE FROM rounds WHERE watch = ? RETURNING round;

-- name: reopen_watch
-- A watch that ended without its target starts again, with the content of the new request.
UPDATE watches
SET status = ?, round = ?, lane = ?, metadata = ?, timeout = ?, registered_at = ?, deadline = ?, ended_at = NULL
WHERE key = ?;

-- name: open_watches
-- The open watches of generations (a JSON list of keys), each with its generation's key before it.
SELECT json_group_array(json_array(
    w.generation, w.key, w.id, w.target, w.endpoint, w.lane, w.status, w.round, CAST(w.metadata AS TEXT),
    w.timeout, w.registered_at, w.deadline))
FROM json_each(:generations) AS asked
CROSS JOIN watches AS w ON w.generation = asked.value AND w.status = 'open';

-- name: end_watches
-- Watches leave the open ones.
WITH ended (key, status, ended_at) AS (
    VALUES (?, ?, ?)
)
UPDATE watches SET status = ended.status, ended_at = ended.ended_at FROM ended WHERE watches.key = ended.key;

-- name: made_already
-- Which messages of a JSON list are owed already.
SELECT json_group_array(d.message_id)
FROM json_each(:messages) AS asked
CROSS JOIN deliveries AS d ON d.message_id = asked.value;

-- name: add_deliveries
-- Messages are owed.
INSERT INTO deliveries (message_id, watch, kind, type, endpoint, lane, status, reason, created_at, due_at, resumes)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: add_bodies
-- The bytes of messages, which never change after.
WITH made (message_id, content_type, body) AS (
    VALUES (?, ?, ?)
)
INSERT INTO bodies (delivery, content_type, body)
SELECT d.key, made.content_type, made.body FROM made CROSS JOIN deliveries AS d ON d.message_id = made.message_id;
