-- What a message is sent to, an endpoint's name or a callback URL's origin, is called its destination. Nothing else
-- changes; only pending deliveries are indexed anew.
ALTER TABLE watches RENAME COLUMN lane TO destination;
ALTER TABLE deliveries RENAME COLUMN lane TO destination;
ALTER TABLE endpoints RENAME COLUMN lane TO destination;
DROP INDEX deliveries_lane;
CREATE INDEX deliveries_destination ON deliveries (destination, due_at)
    WHERE status = 'pending' AND leased_until IS NULL;
