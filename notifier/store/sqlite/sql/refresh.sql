-- name: stale
-- Of [delivery, time] pairs (a JSON list) the first few whose result was neither seen nor read again after that time. A
-- first attempt may be late too: its endpoint was gone, or the watch joined a generation that was done long before. What
-- a person asks for goes out as it is stored.
SELECT json_group_array(json_array(key, message_id, number, provider, id))
FROM (SELECT d.key, d.message_id, d.attempts + 1 AS number, g.provider, g.id
      FROM json_each(:due) AS due
      CROSS JOIN deliveries AS d ON d.key = json_extract(due.value, '$[0]')
      CROSS JOIN watches AS w ON w.key = d.watch
      CROSS JOIN generations AS g ON g.key = w.generation
      WHERE d.type = 'generation.completed' AND d.trigger = 'schedule'
        AND max(g.observed_at, coalesce(d.read_again_at, 0)) <= json_extract(due.value, '$[1]')
      LIMIT :room);

-- name: hold_back
-- Put deliveries off, to read their results again meanwhile.
WITH held (key, until, now) AS (
    VALUES (?, ?, ?)
)
UPDATE deliveries SET due_at = held.until, read_again_at = held.now
FROM held
WHERE deliveries.key = held.key;

-- name: held_back
-- A delivery that still waits for one attempt, and its body.
SELECT d.key, b.content_type, b.body
FROM deliveries AS d JOIN bodies AS b ON b.delivery = d.key
WHERE d.message_id = ? AND d.attempts + 1 = ? AND d.status = 'pending' AND d.leased_until IS NULL;

-- name: let_go
-- Deliveries that were held back are due at once.
WITH held (key, now) AS (
    VALUES (?, ?)
)
UPDATE deliveries SET due_at = min(due_at, held.now)
FROM held
WHERE deliveries.key = held.key;

-- name: replace_bodies
-- New bodies.
WITH fresh (key, body) AS (
    VALUES (?, ?)
)
UPDATE bodies SET body = fresh.body
FROM fresh
WHERE bodies.delivery = fresh.key;
