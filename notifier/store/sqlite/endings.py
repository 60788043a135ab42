"""How open watches end and what that makes owed. Every way a watch ends goes through here, by the table in `lifecycle`.

Rule: a watch ends and its message is made in the same transaction, or neither happens.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Final

from notifier.domain.ids import Destination, GenerationId, ProviderName
from notifier.domain.lifecycle import WATCH, WatchSignal
from notifier.domain.message import new_delivery
from notifier.domain.model import (
    Kind,
    OpenGeneration,
    SeenGeneration,
    State,
    Watch,
)
from notifier.domain.times import to_micros
from notifier.store.records import Recorded
from notifier.store.sqlite import bulk, directories, rows
from notifier.store.sqlite.rows import SQL, WatchRow

_RANK: Final = attrgetter("rank")
#: What a kind of message says of its watch.
_SIGNALS: Final = {
    Kind.RESULT: WatchSignal.SATISFY,
    Kind.EXPIRED: WatchSignal.EXPIRE,
    Kind.UNKNOWN: WatchSignal.LOSE,
}


@dataclass(frozen=True, slots=True)
class Cause:
    """Why watches end."""

    kind: Kind
    seen: SeenGeneration
    #: Why a watch expired, where it is not the deadline alone.
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One generation, and which of its open watches end."""

    key: int
    provider: ProviderName
    id: GenerationId
    #: As it is recorded now.
    state: State | None
    #: Why those that are `chosen` end; None where none does.
    cause: Cause | None
    chosen: Callable[[WatchRow], bool]


#: One watch that ends: its key, itself, and why.
Ended = tuple[int, Watch, Cause]


def end_open(conn: sqlite3.Connection, cases: Sequence[Case], now: datetime) -> list[Recorded]:
    """End open watches of many generations, each of which stands there once; an answer for each, in order."""
    found = rows.open_watches(conn, [case.key for case in cases])
    ending: list[Ended] = []
    answers: list[tuple[int, list[WatchRow]]] = []
    for case in cases:
        left, begun = [], len(ending)
        for row in found.get(case.key, ()):
            if case.cause is not None and case.chosen(row):
                ending.append((row[0], rows.watch(row, case.provider, case.id), case.cause))
            else:
                left.append(row)
        answers.append((len(ending) - begun, left))
    made = iter(end_many(conn, ending, now))
    return [
        Recorded(enqueued=sum(next(made) for _ in range(count)), open=_still_open(case, left))
        for case, (count, left) in zip(cases, answers, strict=True)
    ]


def _still_open(case: Case, left: Sequence[WatchRow]) -> OpenGeneration | None:
    """The generation as it is still watched; None where no watch is open."""
    if not left:
        return None
    return OpenGeneration(
        provider=case.provider,
        id=case.id,
        state=case.state,
        registered_at=rows.moment(min(row[9] for row in left)),
        deadline=rows.moment(min(row[10] for row in left)),
        target=min((rows.STATES[row[2]] for row in left), key=_RANK),
        destinations=tuple(map(Destination, sorted({row[4] for row in left}))),
    )


def end_many(conn: sqlite3.Connection, ending: Sequence[Ended], now: datetime) -> list[bool]:
    """End open watches and make their messages; for each, whether its message was made (False: it is there already)."""
    if not ending:
        return []
    bulk.write(conn, SQL["end_watches"], [(key, _ended(watch, cause), to_micros(now)) for key, watch, cause in ending])
    directory = directories.current(conn, {watch.destination for _, watch, _ in ending})
    owed = [
        new_delivery(watch, cause.seen, cause.kind, now=now, directory=directory, reason=cause.reason)
        for _, watch, cause in ending
    ]
    there = set(bulk.read(conn, SQL["made_already"], {"messages": bulk.listed([each.message_id for each in owed])}))
    new = [each.message_id not in there for each in owed]
    made = [(key, each) for (key, _, _), each, is_new in zip(ending, owed, new, strict=True) if is_new]
    rows.add_deliveries(conn, made, now)
    return new


def _ended(watch: Watch, cause: Cause) -> str:
    return WATCH[watch.status][_SIGNALS[cause.kind]].value
