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
-- A watch that was never registered before.
INSERT INTO watches (id, generation, target, endpoint, lane, status, metadata, timeout, registered_at, deadline)
VALUES (?, ?, ?, ?, ?, 'open', ?, ?, ?, ?);

-- name: reopen_watch
-- A watch that ended without its target starts again, with the content of the new request.
UPDATE watches
SET status = ?, round = ?, lane = ?, metadata = ?, timeout = ?, registered_at = ?, deadline = ?, ended_at = NULL
WHERE key = ?;

-- name: open_watches
-- The open watches of one generation, in the order they came.
SELECT key, id, target, endpoint, lane, status, round, metadata, timeout, registered_at, deadline
FROM watches
WHERE generation = ? AND status = 'open'
ORDER BY key;

-- name: open_since_and_until
-- Since when a generation's open watches are registered, and their earliest deadline; nulls where none is open.
SELECT min(registered_at), min(deadline) FROM watches WHERE generation = ? AND status = 'open';

-- name: end_watch
-- A watch leaves the open ones.
UPDATE watches SET status = ?, ended_at = ? WHERE key = ?;

-- name: add_delivery
-- A message is owed. One that is there already is owed already.
INSERT INTO deliveries (message_id, watch, kind, type, endpoint, lane, status, reason, created_at, due_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (message_id) DO NOTHING;

-- name: add_body
-- The bytes of a message, which never change after.
INSERT INTO bodies (delivery, content_type, body) VALUES (?, ?, ?);
