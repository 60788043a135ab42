-- name: probe
-- One small durable write of no consequence.
INSERT INTO probe (one, at) VALUES (1, ?)
ON CONFLICT (one) DO UPDATE SET at = excluded.at;
