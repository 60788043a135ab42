-- name: open_generations
-- Every generation of one provider with an open watch, streamed from the index of open watches.
SELECT g.id, g.state, min(w.registered_at), min(w.deadline),
       min(CASE w.target WHEN 'queued' THEN 1 WHEN 'running' THEN 2 ELSE 3 END), json_group_array(DISTINCT w.destination)
FROM watches AS w INDEXED BY watches_open CROSS JOIN generations AS g ON g.key = w.generation
WHERE w.status = 'open' AND g.provider = ?
GROUP BY w.generation;

-- name: raise_generations
-- Generations reach a higher state; what was seen with it replaces what was seen before.
WITH raised (key, state, provider_state, result, failure, record, record_omitted, observed_at, not_before) AS (
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
)
UPDATE generations
SET state = raised.state, provider_state = raised.provider_state, result = raised.result, failure = raised.failure,
    record = raised.record, record_omitted = raised.record_omitted, observed_at = raised.observed_at,
    not_before = raised.not_before
FROM raised
WHERE generations.key = raised.key;

-- name: add_states
-- Lines of generations' histories.
INSERT INTO states (generation, state, observed_at) VALUES (?, ?, ?);

-- name: overdue_generations
-- Generations with open watches whose deadline is long gone: those of the first few such watches.
SELECT DISTINCT generation
FROM (SELECT generation FROM watches WHERE status = 'open' AND deadline < ? ORDER BY deadline LIMIT ?);

-- name: learned
-- What was learned of one provider.
SELECT name, body FROM learned WHERE provider = ?;

-- name: save_learned
-- One curve of a provider, in place of what was saved before.
INSERT INTO learned (provider, name, body, saved_at) VALUES (?, ?, ?, ?)
ON CONFLICT (provider, name) DO UPDATE SET body = excluded.body, saved_at = excluded.saved_at;
