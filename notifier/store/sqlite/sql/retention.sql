-- name: finished_deliveries
-- The next few finished deliveries that were made before a time, oldest first, and when each was finished.
WITH next (key) AS (
    SELECT * FROM (
        SELECT key FROM deliveries INDEXED BY deliveries_finished
        WHERE status IN ('delivered', 'exhausted', 'filtered') AND created_at = :at AND key > :key
        ORDER BY key LIMIT :most)
    UNION ALL
    SELECT * FROM (
        SELECT key FROM deliveries INDEXED BY deliveries_finished
        WHERE status IN ('delivered', 'exhausted', 'filtered') AND created_at > :at AND created_at < :before
        ORDER BY created_at, key LIMIT :most)
    LIMIT :most
)
SELECT d.created_at, d.key, coalesce(a.started_at + a.took, d.created_at)
FROM next CROSS JOIN deliveries AS d ON d.key = next.key
LEFT JOIN attempts AS a ON a.delivery = d.key AND a.number = d.attempts;

-- name: drop_attempts
-- The attempts of deliveries (a JSON list of keys) go.
DELETE FROM attempts WHERE delivery IN (SELECT value FROM json_each(:keys));

-- name: drop_bodies
-- Their bodies go.
DELETE FROM bodies WHERE delivery IN (SELECT value FROM json_each(:keys));

-- name: drop_deliveries
-- They go themselves.
DELETE FROM deliveries WHERE key IN (SELECT value FROM json_each(:keys));

-- name: ended_watches
-- The next few watches that ended before a time, oldest first, and whether anything holds them: a delivery that is still
-- there, or an open watch for the same generation.
WITH next (key) AS (
    SELECT * FROM (
        SELECT key FROM watches INDEXED BY watches_ended
        WHERE ended_at = :at AND key > :key
        ORDER BY key LIMIT :most)
    UNION ALL
    SELECT * FROM (
        SELECT key FROM watches INDEXED BY watches_ended
        WHERE ended_at > :at AND ended_at < :before
        ORDER BY ended_at, key LIMIT :most)
    LIMIT :most
)
SELECT w.ended_at, w.key, w.id, w.generation,
    EXISTS (SELECT 1 FROM deliveries AS d WHERE d.watch = w.key)
    OR EXISTS (SELECT 1 FROM watches AS o WHERE o.generation = w.generation AND o.status = 'open')
FROM next CROSS JOIN watches AS w ON w.key = next.key;

-- name: keep_rounds
-- How often each of watches (a JSON list of keys) was reopened outlives it.
INSERT OR REPLACE INTO rounds (watch, round, ended_at)
SELECT id, round, ended_at FROM watches WHERE key IN (SELECT value FROM json_each(:keys)) AND round > 0;

-- name: drop_rounds
-- The first few of them whose watch ended before a time go.
DELETE FROM rounds WHERE watch IN (SELECT watch FROM rounds WHERE ended_at < :before ORDER BY ended_at LIMIT :most);

-- name: drop_watches
-- Watches (a JSON list of keys) go.
DELETE FROM watches WHERE key IN (SELECT value FROM json_each(:keys));

-- name: drop_states
-- The histories of those generations (a JSON list of keys) that have no watch any more go.
DELETE FROM states
WHERE generation IN (SELECT value FROM json_each(:generations))
    AND NOT EXISTS (SELECT 1 FROM watches AS w WHERE w.generation = states.generation);

-- name: drop_generations
-- They go themselves.
DELETE FROM generations
WHERE key IN (SELECT value FROM json_each(:generations))
    AND NOT EXISTS (SELECT 1 FROM watches AS w WHERE w.generation = generations.key);
