"""Ends open watches and enqueues their messages. Every way in which a watch ends, but a cancel, goes through here.

Rule: a watch ends and its message is made in the same transaction, or neither happens.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Final

from notifier.domain.ids import Destination, GenerationId, ProviderName
from notifier.domain.message import new_delivery
from notifier.domain.model import Kind, OpenGeneration, SeenGeneration, State, Watch
from notifier.domain.times import to_micros
from notifier.store import rules
from notifier.store.records import Recorded
from notifier.store.sqlite import bulk, directories, rows
from notifier.store.sqlite.rows import SQL, WatchRow

_RANK: Final = attrgetter("rank")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why watches end."""

    kind: Kind
    seen: SeenGeneration
    #: Why a watch expired, if it is not the deadline alone.
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class GenerationEnding:
    """One generation, and which of its open watches end."""

    key: int
    provider: ProviderName
    id: GenerationId
    #: As it is recorded now.
    state: State | None
    #: Why those that are `chosen` end; None if none does.
    reason: Reason | None
    chosen: Callable[[WatchRow], bool]


#: One watch that ends: its key, itself, and why.
Ended = tuple[int, Watch, Reason]


def end_open(conn: sqlite3.Connection, endings: Sequence[GenerationEnding], now: datetime) -> list[Recorded]:
    """End open watches of many generations, each named once; an answer for each, in order."""
    found = rows.open_watches(conn, [each.key for each in endings])
    ending: list[Ended] = []
    answers: list[tuple[int, list[WatchRow]]] = []
    for each in endings:
        left, begun = [], len(ending)
        for row in found.get(each.key, ()):
            if each.reason is not None and each.chosen(row):
                ending.append((row.key, rows.watch(row, each.provider, each.id), each.reason))
            else:
                left.append(row)
        answers.append((len(ending) - begun, left))
    made = iter(end_many(conn, ending, now))
    return [
        Recorded(enqueued=sum(next(made) for _ in range(count)), open=_still_open(each, left))
        for each, (count, left) in zip(endings, answers, strict=True)
    ]


def _still_open(each: GenerationEnding, left: Sequence[WatchRow]) -> OpenGeneration | None:
    """The generation with the watches that are still open; None if none is."""
    if not left:
        return None
    return OpenGeneration(
        provider=each.provider,
        id=each.id,
        state=each.state,
        registered_at=rows.moment(min(row.registered_at for row in left)),
        deadline=rows.moment(min(row.deadline for row in left)),
        target=min((rows.STATES[row.target] for row in left), key=_RANK),
        destinations=tuple(map(Destination, sorted({row.destination for row in left}))),
    )


def end_many(conn: sqlite3.Connection, ending: Sequence[Ended], now: datetime) -> list[bool]:
    """End open watches and enqueue their messages; for each, whether that was done (False: it is there already)."""
    if not ending:
        return []
    micros = to_micros(now)
    bulk.write(conn, SQL["end_watches"], [(key, rules.ENDED[reason.kind].value, micros) for key, _, reason in ending])
    directory = directories.current(conn, {watch.destination for _, watch, _ in ending})
    new = [
        new_delivery(watch, reason.seen, reason.kind, now=now, directory=directory, reason=reason.detail)
        for _, watch, reason in ending
    ]
    there = set(bulk.read(conn, SQL["messages_among"], {"messages": bulk.listed([each.message_id for each in new])}))
    rows.add_deliveries(
        conn, [(key, each) for (key, _, _), each in zip(ending, new, strict=True) if each.message_id not in there], now
    )
    return [each.message_id not in there for each in new]
