-- name: messages_like
-- Two messages at most whose ID begins like this; `~` comes after every letter of an ID.
SELECT message_id FROM deliveries
WHERE message_id >= :beginning AND message_id < :beginning || '~' ORDER BY message_id LIMIT 2;

-- name: watches_like
-- Two watches at most whose ID begins like this; reads the whole table.
SELECT id FROM watches WHERE id >= :beginning AND id < :beginning || '~' LIMIT 2;

-- name: last
-- The newest delivery's key: a walk goes no further than what there was when it began.
SELECT max(key) FROM deliveries;

-- name: generations
-- Keys of the generations of an ID, of one provider or of every one.
SELECT json_group_array(key) FROM generations
WHERE id = :generation AND (:provider IS NULL OR provider = :provider);

-- name: generations_without_case
-- The same if a person wrote the ID in another case; reads the whole index.
SELECT json_group_array(key) FROM generations
WHERE id = :generation COLLATE NOCASE AND (:provider IS NULL OR provider = :provider);

-- name: page
-- The next deliveries of a selection that is not of one message or one generation, in the order of their keys.
SELECT json_group_array(key)
FROM (SELECT key FROM deliveries
      WHERE key > :after AND key <= :last
        AND (:endpoint IS NULL OR endpoint = :endpoint) AND (:destination IS NULL OR destination = :destination)
        AND (:type IS NULL OR type = :type)
        AND (:since IS NULL OR created_at >= :since) AND (:until IS NULL OR created_at < :until)
        AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))
        AND (:provider IS NULL OR EXISTS (
            SELECT 1 FROM watches AS w JOIN generations AS g ON g.key = w.generation
            WHERE w.key = deliveries.watch AND g.provider = :provider))
      ORDER BY key LIMIT :most);

-- name: page_of_message
-- The same of one message.
SELECT json_group_array(key) FROM deliveries WHERE message_id = :message AND key > :after AND key <= :last;

-- name: page_of_generations
-- The same of generations (a JSON list of keys).
SELECT json_group_array(key)
FROM (SELECT d.key
      FROM json_each(:generations) AS asked
      CROSS JOIN watches AS w ON w.generation = asked.value
      CROSS JOIN deliveries AS d ON d.watch = w.key
      WHERE d.key > :after AND d.key <= :last
        AND (:endpoint IS NULL OR d.endpoint = :endpoint) AND (:destination IS NULL OR d.destination = :destination)
        AND (:type IS NULL OR d.type = :type)
        AND (:since IS NULL OR d.created_at >= :since) AND (:until IS NULL OR d.created_at < :until)
        AND (:statuses IS NULL OR d.status IN (SELECT value FROM json_each(:statuses)))
      ORDER BY d.key LIMIT :most);

-- name: kept
-- How many deliveries of each status there are, and when the first and the last of them were enqueued.
SELECT status, count(*), min(created_at), max(created_at) FROM deliveries
WHERE (:endpoint IS NULL OR endpoint = :endpoint) AND (:destination IS NULL OR destination = :destination)
  AND (:type IS NULL OR type = :type)
  AND (:provider IS NULL OR EXISTS (
      SELECT 1 FROM watches AS w JOIN generations AS g ON g.key = w.generation
      WHERE w.key = deliveries.watch AND g.provider = :provider))
GROUP BY status ORDER BY status;

-- name: kept_of_generations
-- The same of generations (a JSON list of keys).
SELECT d.status, count(*), min(d.created_at), max(d.created_at)
FROM json_each(:generations) AS asked
CROSS JOIN watches AS w ON w.generation = asked.value
CROSS JOIN deliveries AS d ON d.watch = w.key
WHERE (:endpoint IS NULL OR d.endpoint = :endpoint) AND (:destination IS NULL OR d.destination = :destination)
  AND (:type IS NULL OR d.type = :type)
GROUP BY d.status ORDER BY d.status;

-- name: state_of_deliveries
-- Deliveries (a JSON list of keys) as they are now: whether each is being sent, and whether it still has a body.
SELECT json_group_array(json_array(
    d.key, d.status, d.endpoint, d.destination, d.leased_until IS NOT NULL, b.delivery IS NOT NULL))
FROM json_each(:keys) AS asked
CROSS JOIN deliveries AS d ON d.key = asked.value
LEFT JOIN bodies AS b ON b.delivery = d.key;

-- name: ask_again
-- Deliveries are due, with their schedule unused, for a person; one that is due already keeps its turn.
WITH asked (key, status, due_at) AS (
    VALUES (?, ?, ?)
)
UPDATE deliveries
SET status = asked.status, reason = '', resumes = 0, due_at = min(coalesce(deliveries.due_at, asked.due_at), asked.due_at),
    failures = 0, interruptions = 0,
    trigger = 'person'
FROM asked
WHERE deliveries.key = asked.key;

-- name: chosen_watch
-- The key of one watch by its ID; reads the whole table.
SELECT json_group_array(key) FROM watches WHERE id = :watch;

-- name: chosen_watches
-- Keys of the watches of generations (a JSON list of keys), of one endpoint, of one destination, or of every one.
SELECT json_group_array(w.key)
FROM json_each(:generations) AS asked
CROSS JOIN watches AS w ON w.generation = asked.value
WHERE (:endpoint IS NULL OR w.endpoint = :endpoint) AND (:destination IS NULL OR w.destination = :destination);

-- name: state_of_watches
-- Watches (a JSON list of keys) as they are now, and their generations.
SELECT json_group_array(json_array(w.key, w.status, w.generation))
FROM json_each(:keys) AS asked
CROSS JOIN watches AS w ON w.key = asked.value;

-- name: unwatched
-- Those of generations (a JSON list of keys) without an open watch: provider and ID.
SELECT json_group_array(json_array(g.provider, g.id))
FROM json_each(:generations) AS asked
CROSS JOIN generations AS g ON g.key = asked.value
WHERE NOT EXISTS (SELECT 1 FROM watches AS w WHERE w.generation = g.key AND w.status = 'open');
