-- name: last_due
-- The earliest of the last few times, between two, at which something falls due; null if there is none.
SELECT min(due_at)
FROM (SELECT due_at FROM deliveries
      WHERE status = 'pending' AND leased_until IS NULL AND due_at > :above AND due_at < :below
      ORDER BY due_at DESC LIMIT :most);

-- name: first_due
-- The latest of the first few times, between two, at which something falls due; null if there is none.
SELECT max(due_at)
FROM (SELECT due_at FROM deliveries
      WHERE status = 'pending' AND leased_until IS NULL AND due_at > :above AND due_at < :below
      ORDER BY due_at LIMIT :most);

-- name: shift
-- What falls due between two times, and was made until a third, does so earlier or later; not what did just now.
UPDATE deliveries INDEXED BY deliveries_due SET due_at = due_at + :by
WHERE status = 'pending' AND leased_until IS NULL AND due_at > :above AND due_at < :below AND created_at <= :made
    AND NOT (due_at > :fresh AND due_at <= :now);

-- name: next_destinations
-- The last of the next few destinations after one, by name, and how many these are.
SELECT max(destination), count(*) FROM (SELECT destination FROM endpoints WHERE destination > :above ORDER BY destination LIMIT :most);

-- name: shift_destinations
-- The times of the destinations after one and up to another are earlier or later; not of those that are disabled.
UPDATE endpoints
SET first_failure = first_failure + :by, last_failure = last_failure + :by, last_success = last_success + :by,
    warned_at = warned_at + :by
WHERE destination > :above AND destination <= :last AND state <> 'disabled';
