-- name: open_generations
-- Every generation of one provider with an open watch, streamed from the index of open watches.
SELECT g.id, g.state, min(w.registered_at), min(w.deadline)
FROM watches AS w INDEXED BY watches_open CROSS JOIN generations AS g ON g.key = w.generation
WHERE w.status = 'open' AND g.provider = ?
GROUP BY w.generation;

-- name: raise_generation
-- A generation reaches a higher state; what was seen with it replaces what was seen before.
UPDATE generations
SET state = ?, provider_state = ?, result = ?, failure = ?, record = ?, record_omitted = ?, observed_at = ?, not_before = ?
WHERE key = ?;

-- name: add_state
-- A line of a generation's history.
INSERT INTO states (generation, state, observed_at) VALUES (?, ?, ?);

-- name: overdue_generations
-- Generations with open watches whose deadline is long gone: those of the first few such watches.
SELECT DISTINCT generation
FROM (SELECT generation FROM watches WHERE status = 'open' AND deadline < ? ORDER BY deadline LIMIT ?);
