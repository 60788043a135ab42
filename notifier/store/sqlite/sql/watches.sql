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

-- name: find_states
-- Key and state of generations: those of one provider in a JSON list of IDs.
SELECT json_group_array(json_array(g.id, g.key, g.state))
FROM json_each(:ids) AS asked
CROSS JOIN generations AS g ON g.id = asked.value AND g.provider = :provider;

-- name: find_watches
-- Watches by what they are, open or not: of a JSON list of [generation's key, target, endpoint].
SELECT json_group_array(json_array(
    w.generation, w.key, w.id, w.target, w.endpoint, w.destination, w.status, w.round, CAST(w.metadata AS TEXT),
    w.timeout, w.registered_at, w.deadline))
FROM json_each(:asked) AS asked
CROSS JOIN watches AS w
    ON w.generation = json_extract(asked.value, '$[0]')
    AND w.target = json_extract(asked.value, '$[1]')
    AND w.endpoint = json_extract(asked.value, '$[2]');

-- name: last_keys
-- The highest key of a generation and of a watch, 0 if there is none.
SELECT (SELECT coalesce(max(key), 0) FROM generations), (SELECT coalesce(max(key), 0) FROM watches);

-- name: add_generations
-- Generations that nobody watched before.
INSERT INTO generations (key, provider, id, registered_at) VALUES (?, ?, ?, ?);

-- name: add_watches
-- Watches that were never registered before, or were forgotten.
INSERT INTO watches
    (key, id, target, endpoint, destination, status, round, metadata, timeout, registered_at, deadline, generation)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: any_round
-- Whether there is any forgotten watch that had been reopened.
SELECT 1 FROM rounds LIMIT 1;

-- name: take_round
-- How often a forgotten watch had been reopened; from now on its new row says so.
DELETE FROM rounds WHERE watch = ? RETURNING round;

-- name: reopen_watches
-- Watches that ended without their target start again, with the content of the new request.
WITH reopened (key, id, target, endpoint, destination, status, round, metadata, timeout, registered_at, deadline) AS (
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
)
UPDATE watches
SET
    status = reopened.status,
    round = reopened.round,
    destination = reopened.destination,
    metadata = reopened.metadata,
    timeout = reopened.timeout,
    registered_at = reopened.registered_at,
    deadline = reopened.deadline,
    ended_at = NULL
FROM reopened
WHERE watches.key = reopened.key;

-- name: open_watches
-- The open watches of generations (a JSON list of keys), each with its generation's key before it.
SELECT json_group_array(json_array(
    w.generation, w.key, w.id, w.target, w.endpoint, w.destination, w.status, w.round, CAST(w.metadata AS TEXT),
    w.timeout, w.registered_at, w.deadline))
FROM json_each(:generations) AS asked
CROSS JOIN watches AS w ON w.generation = asked.value AND w.status = 'open';

-- name: end_watches
-- Watches leave the open ones.
WITH ended (key, status, ended_at) AS (
    VALUES (?, ?, ?)
)
UPDATE watches SET status = ended.status, ended_at = ended.ended_at FROM ended WHERE watches.key = ended.key;

-- name: messages_among
-- Which messages of a JSON list there are already.
SELECT json_group_array(d.message_id)
FROM json_each(:messages) AS asked
CROSS JOIN deliveries AS d ON d.message_id = asked.value;

-- name: add_deliveries
-- Messages are enqueued.
INSERT INTO deliveries (message_id, watch, kind, type, endpoint, destination, status, reason, created_at, due_at, resumes)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: add_bodies
-- The bytes of messages, which never change after.
WITH made (message_id, content_type, body) AS (
    VALUES (?, ?, ?)
)
INSERT INTO bodies (delivery, content_type, body)
SELECT d.key, made.content_type, made.body FROM made CROSS JOIN deliveries AS d ON d.message_id = made.message_id;
