"""Records what looks have shown, inside a transaction: the poller's part of the store.

Rule: a state only rises, by `lifecycle.advance`; which watches that satisfies is selected in the same transaction, so
no watch can slip in between. A look that showed nothing new writes nothing.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from notifier.clock import from_micros, to_micros
from notifier.delivery.payload import RECORD_LIMIT
from notifier.ids import GenerationId, ProviderName
from notifier.lifecycle import advance, satisfies
from notifier.model import Book, Kind, Observation, OpenGeneration, SeenGeneration, State, Transition
from notifier.store.base import Ending, Recorded
from notifier.store.sqlite import rows
from notifier.store.sqlite.endings import Cause, Terms, end_open, terms
from notifier.store.sqlite.rows import GenerationRow, WatchRow
from notifier.store.sqlite.statements import statements

_SQL: Final = statements("polling")
#: Generations handed out at a time.
CHUNK: Final = 5_000


def begin_open_generations(conn: sqlite3.Connection, provider: ProviderName) -> sqlite3.Cursor:
    """Start a read of all open generations of `provider`; it sees one moment, whatever is written meanwhile."""
    conn.execute("BEGIN")
    return conn.execute(_SQL["open_generations"], (provider,))


def next_open_generations(cursor: sqlite3.Cursor, provider: ProviderName) -> list[OpenGeneration]:
    """The next few; empty at the end."""
    return [
        OpenGeneration(
            provider=provider,
            id=GenerationId(id_),
            state=None if state is None else State(state),
            registered_at=from_micros(registered_at),
            deadline=from_micros(deadline),
        )
        for id_, state, registered_at, deadline in cursor.fetchmany(CHUNK)
    ]


def record(conn: sqlite3.Connection, transitions: Sequence[Transition], *, now: datetime, book: Book) -> list[Recorded]:
    held = terms(now, book)
    return [_raise(conn, transition, held) for transition in transitions]


def _raise(conn: sqlite3.Connection, transition: Transition, held: Terms) -> Recorded:
    observation = transition.observation
    generation = rows.find_generation(conn, transition.provider, observation.id)
    if generation is None:
        return Recorded(owed=0, open=None)
    before = rows.recorded_state(generation)
    state = None if observation.state is None else advance(before, observation.state)
    if state is None:
        return Recorded(owed=0, open=rows.open_generation(conn, generation, before))
    now_seen = _seen(transition, state)
    _write(conn, generation, now_seen, state)
    cause = Cause(Kind.RESULT, now_seen)
    return end_open(conn, generation, cause, lambda row: satisfies(state, State(row[2])), held)


def _seen(transition: Transition, state: State) -> SeenGeneration:
    observation = transition.observation
    record, omitted = _record(observation)
    return SeenGeneration(
        provider=transition.provider,
        id=observation.id,
        state=state,
        provider_state=observation.provider_state,
        result=observation.result,
        failure=observation.failure,
        record=record,
        record_omitted=omitted,
        observed_at=transition.observed_at,
        not_before=transition.not_before,
    )


def _record(observation: Observation) -> tuple[bytes | None, bool]:
    """The provider's record in its stored form, and whether it was too large to keep."""
    if observation.record is None:
        return None, False
    text = orjson.dumps(dict(observation.record))
    return (text, False) if len(text) <= RECORD_LIMIT else (None, True)


def _write(conn: sqlite3.Connection, generation: GenerationRow, seen: SeenGeneration, state: State) -> None:
    assert seen.observed_at is not None, "a transition was observed"
    observed_at = to_micros(seen.observed_at)
    row: tuple[Any, ...] = (
        state.value,
        seen.provider_state,
        rows.result_text(seen.result),
        seen.failure,
        seen.record,
        seen.record_omitted,
        observed_at,
        None if seen.not_before is None else to_micros(seen.not_before),
        generation[0],
    )
    conn.execute(_SQL["raise_generation"], row)
    conn.execute(_SQL["add_state"], (generation[0], state.value, observed_at))


def end(conn: sqlite3.Connection, endings: Sequence[Ending], *, now: datetime, book: Book) -> list[Recorded]:
    held = terms(now, book)
    return [_end(conn, ending, held) for ending in endings]


def _end(conn: sqlite3.Connection, ending: Ending, held: Terms) -> Recorded:
    generation = rows.find_generation(conn, ending.provider, ending.generation)
    if generation is None:
        return Recorded(owed=0, open=None)
    seen = rows.seen(generation)
    observed_at = to_micros(ending.observed_at)

    def chosen(row: WatchRow) -> bool:
        match ending.kind:
            case Kind.EXPIRED:
                return bool(row[10] <= observed_at)
            case Kind.UNKNOWN:
                return seen.state is None
            case Kind.RESULT:
                raise ValueError("a result is recorded as a transition, not as an ending")

    return end_open(conn, generation, Cause(ending.kind, seen), chosen, held)


def expire_some(conn: sqlite3.Connection, before: int, most: int, *, now: datetime, book: Book) -> int:
    """End watches whose deadline was before `before` (microseconds); about `most` of them. How many were ended."""
    held = terms(now, book)
    return sum(
        end_open(
            conn,
            generation,
            Cause(Kind.EXPIRED, rows.seen(generation), reason="provider_unreachable"),
            lambda row: bool(row[10] < before),
            held,
        ).owed
        for generation in _overdue(conn, before, most)
    )


def _overdue(conn: sqlite3.Connection, before: int, most: int) -> Iterator[GenerationRow]:
    for (key,) in conn.execute(_SQL["overdue_generations"], (before, most)).fetchall():
        yield conn.execute(rows.SQL["find_generation_by_key"], (key,)).fetchone()
