-- When the result in a delivery's body was last read again, or that was tried; null where it never was.

ALTER TABLE deliveries ADD COLUMN read_again_at INTEGER;
