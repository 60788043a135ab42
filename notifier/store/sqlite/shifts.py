"""Moves due times, and the times since when endpoints fail, with the wall clock: one short transaction at a time.

Why SQLite alone: its due times follow the clock of the one process that has the lock.

Rules: what was due already keeps its place in the order. Nothing is moved twice: destinations go in the order of their
names, then deliveries in the order of their due times, from the last to the first if the clock was set forward, from
the first to the last if it was set back, so that what was moved is not found again. Deliveries that are due in the very
same microsecond move together.
"""

import sqlite3
from datetime import datetime, timedelta
from typing import Final

from notifier.domain.ids import Destination
from notifier.domain.times import from_micros, to_micros
from notifier.store.ports import ShiftProgress
from notifier.store.sqlite.statements import statements

_SQL: Final = statements("shifts")
#: Deliveries of one transaction, and destinations.
STEP: Final = 250
_NEVER: Final = 2**62
#: A clock that was set forward is noticed within this; what was resumed by it meanwhile is due by it.
_FRESH: Final = timedelta(seconds=10)
#: Whenever it was made, and whenever it is due.
_ALL: Final = {"made": _NEVER, "fresh": _NEVER, "now": _NEVER}
_MICROSECOND: Final = timedelta(microseconds=1)


def step(conn: sqlite3.Connection, by: timedelta, *, now: datetime, done: ShiftProgress | None) -> ShiftProgress | None:
    """Move the next few; what to hand in as `done` next time, None if all are moved."""
    if isinstance(done, datetime):
        return _shift_due_times(conn, by, now=now, done=done)
    return _shift_destinations(conn, by, after=done or "") or _shift_due_times(conn, by, now=now, done=None)


def _shift_destinations(conn: sqlite3.Connection, by: timedelta, *, after: str) -> Destination | None:
    """The last one that was moved; None if there are no more."""
    last, count = conn.execute(_SQL["next_destinations"], {"above": after, "most": STEP}).fetchone()
    if count:
        conn.execute(_SQL["shift_destinations"], {"above": after, "last": last, "by": by // _MICROSECOND})
    return Destination(last) if count == STEP else None


def _shift_due_times(
    conn: sqlite3.Connection, by: timedelta, *, now: datetime, done: datetime | None
) -> datetime | None:
    forward, micros = by > timedelta(0), by // _MICROSECOND
    #: Until when everything was due before the clock was set.
    due = to_micros(now - by) if forward else to_micros(now)
    reached = None if done is None else to_micros(done)
    if forward:
        limits = {"above": due, "below": _NEVER if reached is None else reached}
    else:
        limits = {"above": due if reached is None else reached, "below": _NEVER}
    edge = conn.execute(_SQL["last_due" if forward else "first_due"], limits | {"most": STEP}).fetchone()[0]
    if edge is None:
        return None
    limits |= {"above": edge - 1} if forward else {"below": edge + 1}
    limits |= {"made": due, "fresh": to_micros(now - _FRESH), "now": to_micros(now)} if forward else _ALL
    conn.execute(_SQL["shift"], limits | {"by": micros})
    return from_micros(edge)
