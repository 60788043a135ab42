-- What retention walks through: oldest first, past nothing that is still owed or watched.

CREATE INDEX deliveries_finished ON deliveries (created_at) WHERE status IN ('delivered', 'exhausted', 'filtered');
CREATE INDEX watches_ended ON watches (ended_at) WHERE ended_at IS NOT NULL;
