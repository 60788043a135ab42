"""Holds back what is about to be sent with an old result, and replaces its body: a part of the store, in a transaction.

Why inside the claim: whatever makes a delivery due (its schedule, a start after a long stop, an endpoint that came
back) goes through the claim, so none is missed, and nobody has to look ahead. That a delivery was held back is written
with it, so it is held back once: after a crash meanwhile it waits for as long as it was held back, and the stored body
is sent.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from notifier.domain.body_refresh import refreshed
from notifier.domain.ids import GenerationId, MessageId, ProviderName
from notifier.domain.model import Refresh, Stale
from notifier.domain.times import to_micros
from notifier.store import rules
from notifier.store.records import Freshness
from notifier.store.sqlite import bulk
from notifier.store.sqlite.statements import statements

_SQL: Final = statements("refresh")
_MICROSECOND: Final = timedelta(microseconds=1)


def hold_back(
    conn: sqlite3.Connection, taken: Mapping[str, Sequence[int]], freshness: Freshness, now: int
) -> dict[int, Stale]:
    """Of what would be claimed now (destination -> keys), what is held back instead, by key."""
    due = [
        (key, now - age // _MICROSECOND)
        for destination, age in rules.ages(taken, freshness).items()
        for key in taken[destination]
    ]
    if not due or freshness.room <= 0:
        return {}
    stale = {
        key: Stale(
            message_id=MessageId(message),
            number=number,
            provider=ProviderName(provider),
            generation=GenerationId(generation),
        )
        for key, message, number, provider, generation in bulk.read(
            conn, _SQL["stale"], {"due": bulk.listed(due), "room": freshness.room}
        )
    }
    until = now + freshness.wait // _MICROSECOND
    bulk.write(conn, _SQL["hold_back"], [(key, until, now) for key in stale])
    return stale


def refresh(conn: sqlite3.Connection, refreshes: Sequence[Refresh], *, now: datetime) -> int:
    """Make what was held back due; how many bodies were replaced."""
    held, bodies = [], []
    for each in refreshes:
        found = conn.execute(_SQL["held_back"], (each.message_id, each.number)).fetchone()
        if found is None:
            continue
        key, content_type, body = found
        held.append((key, to_micros(now)))
        if (reread := each.reread) is not None:
            with suppress(ValueError):  # a body that is not ours to change stays
                new = refreshed(body, content_type, rules.seen_again(reread), refreshed_at=reread.seen_at)
                bodies.append((key, new))
    bulk.write(conn, _SQL["replace_bodies"], bodies)
    bulk.write(conn, _SQL["let_go"], held)
    return len(bodies)
