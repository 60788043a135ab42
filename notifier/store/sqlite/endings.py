"""How open watches end and what that makes owed. Every way a watch ends goes through here, by the table in `lifecycle`.

Rule: a watch ends and its message is made in the same transaction, or neither happens.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from notifier.clock import to_micros
from notifier.delivery.payload import owe
from notifier.lifecycle import WATCH, WatchSignal
from notifier.model import Book, DeliveryStatus, Kind, SeenGeneration, Watch
from notifier.store.base import Recorded
from notifier.store.sqlite import rows
from notifier.store.sqlite.rows import SQL, GenerationRow, WatchRow

#: What a kind of message says of its watch.
_SIGNALS: Final = {
    Kind.RESULT: WatchSignal.SATISFY,
    Kind.EXPIRED: WatchSignal.EXPIRE,
    Kind.UNKNOWN: WatchSignal.LOSE,
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all of one call."""

    now: datetime
    #: The same in microseconds.
    micros: int
    book: Book


def terms(now: datetime, book: Book) -> Terms:
    return Terms(now, to_micros(now), book)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why watches end."""

    kind: Kind
    seen: SeenGeneration
    #: Why a watch expired without a look.
    reason: str | None = None


def end_open(
    conn: sqlite3.Connection, generation: GenerationRow, cause: Cause, chosen: Callable[[WatchRow], bool], terms: Terms
) -> Recorded:
    """End the `chosen` ones of a generation's open watches."""
    found = conn.execute(SQL["open_watches"], (generation[0],)).fetchall()
    ending = [row for row in found if chosen(row)]
    owed = sum(end_one(conn, row[0], rows.watch(row, generation), cause, terms) for row in ending)
    left = None if len(ending) == len(found) else rows.open_generation(conn, generation, cause.seen.state)
    return Recorded(owed=owed, open=left)


def end_one(conn: sqlite3.Connection, key: int, watch: Watch, cause: Cause, terms: Terms) -> int:
    """End one open watch and make its message; how many were made (0 where it is there already)."""
    status = WATCH[watch.status][_SIGNALS[cause.kind]]
    conn.execute(SQL["end_watch"], (status.value, terms.micros, key))
    owed = owe(watch, cause.seen, cause.kind, now=terms.now, book=terms.book, reason=cause.reason)
    due_at = to_micros(terms.now + owed.wait) if owed.status is DeliveryStatus.PENDING else None
    made = conn.execute(
        SQL["add_delivery"],
        (
            owed.message_id,
            key,
            owed.kind.value,
            owed.type,
            owed.endpoint,
            owed.lane,
            owed.status.value,
            owed.reason,
            terms.micros,
            due_at,
        ),
    )
    if not made.rowcount:
        return 0
    conn.execute(SQL["add_body"], (made.lastrowid, owed.content_type, owed.body))
    return 1
