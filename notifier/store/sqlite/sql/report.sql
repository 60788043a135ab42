-- name: count_open_generations
-- Generations with an open watch.
SELECT count(*) FROM (SELECT DISTINCT generation FROM watches WHERE status = 'open');

-- name: count_watches
-- Watches by status.
SELECT status, count(*) FROM watches GROUP BY status;

-- name: count_deliveries
-- Deliveries by status.
SELECT status, count(*) FROM deliveries GROUP BY status;

-- name: newest_generations
-- The newest registrations: keys grow with them.
SELECT key, provider, id, state, registered_at, trouble FROM generations ORDER BY key DESC LIMIT ?;

-- name: newest_open_generations
-- The newest registrations that are still watched.
SELECT g.key, g.provider, g.id, g.state, g.registered_at, g.trouble
FROM (SELECT DISTINCT generation FROM watches WHERE status = 'open' ORDER BY generation DESC LIMIT ?) AS o
JOIN generations AS g ON g.key = o.generation
ORDER BY g.key DESC;

-- name: watches_by_generation
-- How many watches of each status the given generations (a JSON list of keys) have.
SELECT generation, status, count(*) FROM watches
WHERE generation IN (SELECT value FROM json_each(?))
GROUP BY generation, status;

-- name: deliveries_by_generation
-- How many deliveries of each status the given generations (a JSON list of keys) have.
SELECT w.generation, d.status, count(*)
FROM watches AS w JOIN deliveries AS d ON d.watch = w.key
WHERE w.generation IN (SELECT value FROM json_each(?))
GROUP BY w.generation, d.status;

-- name: find_generations
-- Generations of an ID, of whatever provider.
SELECT key, provider, id, state, provider_state, result, failure, registered_at, observed_at, not_before, trouble
FROM generations WHERE id = ? ORDER BY provider;

-- name: find_generations_without_case
-- The same if a person wrote the ID in another case; reads the whole index.
SELECT key, provider, id, state, provider_state, result, failure, registered_at, observed_at, not_before, trouble
FROM generations WHERE id = ? COLLATE NOCASE ORDER BY provider, id;

-- name: states_of
-- A generation's history, oldest first.
SELECT state, observed_at FROM states WHERE generation = ? ORDER BY observed_at;

-- name: watches_of
-- A generation's watches, oldest first.
SELECT key, id, target, endpoint, status, round, metadata, registered_at, deadline, ended_at
FROM watches WHERE generation = ? ORDER BY key;

-- name: deliveries_of
-- A watch's deliveries, oldest first, with the open attempt's beginning.
SELECT key, message_id, type, status, reason, created_at, due_at, attempts, claimed_at, trigger
FROM deliveries WHERE watch = ? ORDER BY key;

-- name: attempts_of
-- A delivery's closed attempts, oldest first.
SELECT number, started_at, took, verdict, status_code, detail, head, trigger
FROM attempts WHERE delivery = ? ORDER BY number;
