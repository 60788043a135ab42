-- name: troubles_of_generations
-- What is wrong with generations of one provider.
SELECT id, trouble FROM generations WHERE provider = ? AND trouble IS NOT NULL;

-- name: trouble_of_provider
-- What is wrong with one provider.
SELECT trouble FROM troubles WHERE provider = ?;

-- name: troubles_of_providers
-- What is wrong with each provider.
SELECT provider, trouble FROM troubles ORDER BY provider;

-- name: set_generations
-- What is wrong with generations now; null if nothing is.
WITH now (trouble, id, provider) AS (VALUES (?, ?, ?))
UPDATE generations SET trouble = now.trouble FROM now WHERE generations.id = now.id AND generations.provider = now.provider;

-- name: set_provider
-- What is wrong with a provider now, in place of what was.
INSERT INTO troubles (provider, trouble) VALUES (?, ?)
ON CONFLICT (provider) DO UPDATE SET trouble = excluded.trouble;

-- name: clear_provider
-- Nothing is wrong with a provider any more.
DELETE FROM troubles WHERE provider = ?;
