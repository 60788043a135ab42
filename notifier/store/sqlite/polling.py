"""Records what looks have shown, inside a transaction: the poller's part of the store.

Rule: a state only rises, by `lifecycle.advance`; which watches that satisfies is selected in the same transaction, so
no watch can slip in between. A look that showed nothing new writes nothing.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from notifier.domain.ids import GenerationId, ProviderName
from notifier.domain.lifecycle import advance, satisfies
from notifier.domain.model import Kind, OpenGeneration, SeenGeneration, State, Transition
from notifier.domain.times import from_micros, to_micros
from notifier.store.records import Ending, Recorded
from notifier.store.sqlite import bulk, rows
from notifier.store.sqlite.endings import Case, Cause, end_open
from notifier.store.sqlite.rows import GenerationRow, WatchRow
from notifier.store.sqlite.statements import statements

_SQL: Final = statements("polling")
#: Generations handed out at a time.
CHUNK: Final = 5_000
#: The answer for a generation that nobody ever watched.
_UNKNOWN: Final = Recorded(enqueued=0, open=None)
#: State -> the targets, as they are stored, that it satisfies.
_MET: Final = {state: {target.value for target in State if satisfies(state, target)} for state in State}


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
            target=rows.RANKED[target],
            destinations=rows.destinations_from(destinations),
        )
        for id_, state, registered_at, deadline, target, destinations in cursor.fetchmany(CHUNK)
    ]


def learned(conn: sqlite3.Connection, provider: ProviderName) -> dict[str, bytes]:
    """Name -> what was saved under it."""
    return dict(conn.execute(_SQL["learned"], (provider,)).fetchall())


def save_learned(
    conn: sqlite3.Connection, provider: ProviderName, learned: Mapping[str, bytes], *, now: datetime
) -> None:
    rows_ = [(provider, name, body, to_micros(now)) for name, body in learned.items()]
    bulk.write(conn, _SQL["save_learned"], rows_)


def record(conn: sqlite3.Connection, transitions: Sequence[Transition], *, now: datetime) -> list[Recorded]:
    return [answer for batch in _batches(transitions) for answer in _raise(conn, batch, now)]


def _batches(transitions: Sequence[Transition]) -> Iterator[Sequence[Transition]]:
    """The same in the same order, in runs (mostly one) in which no generation stands twice."""
    batch: dict[tuple[str, str], Transition] = {}
    for transition in transitions:
        name = (transition.provider, transition.observation.id)
        if name in batch:
            yield list(batch.values())
            batch = {}
        batch[name] = transition
    yield list(batch.values())


def _raise(conn: sqlite3.Connection, batch: Sequence[Transition], now: datetime) -> list[Recorded]:
    found = rows.find_states(conn, [(each.provider, each.observation.id) for each in batch])
    known = [(each, *found[name]) for each in batch if (name := (each.provider, each.observation.id)) in found]
    cases = [_case(transition, key, state) for transition, key, state in known]
    raised = [_raised(case.key, case.cause.seen) for case in cases if case.cause is not None]
    bulk.write(conn, _SQL["raise_generations"], raised)
    bulk.write(conn, _SQL["add_states"], [(row[0], row[1], row[7]) for row in raised])
    answers = iter(end_open(conn, cases, now))
    return [next(answers) if (each.provider, each.observation.id) in found else _UNKNOWN for each in batch]


def _case(transition: Transition, key: int, before: State | None) -> Case:
    observation = transition.observation
    state = None if observation.state is None else advance(before, observation.state)
    if state is None:
        return Case(key, transition.provider, observation.id, before, None, bool)
    cause = Cause(Kind.RESULT, _seen(transition, state))
    met = _MET[state]
    return Case(key, transition.provider, observation.id, state, cause, lambda row: row[2] in met)


def _seen(transition: Transition, state: State) -> SeenGeneration:
    observation = transition.observation
    record, omitted = rows.stored_record(observation)
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


def _raised(key: int, seen: SeenGeneration) -> tuple[Any, ...]:
    assert seen.state is not None, "a generation is raised to a state"
    assert seen.observed_at is not None, "a transition was observed"
    return (
        key,
        seen.state.value,
        seen.provider_state,
        rows.result_text(seen.result),
        seen.failure,
        seen.record,
        seen.record_omitted,
        to_micros(seen.observed_at),
        None if seen.not_before is None else to_micros(seen.not_before),
    )


def end(conn: sqlite3.Connection, endings: Sequence[Ending], *, now: datetime) -> list[Recorded]:
    return [_end(conn, ending, now) for ending in endings]


def _end(conn: sqlite3.Connection, ending: Ending, now: datetime) -> Recorded:
    generation = rows.find_generation(conn, ending.provider, ending.generation)
    if generation is None:
        return _UNKNOWN
    observed_at = to_micros(ending.observed_at)

    def chosen(row: WatchRow) -> bool:
        match ending.kind:
            case Kind.EXPIRED:
                return bool(row[10] <= observed_at)
            case Kind.UNKNOWN:
                return True
            case _:
                raise ValueError("a result is recorded as a transition, not as an ending")

    cause = Cause(ending.kind, rows.seen(generation), reason=ending.reason)
    (recorded,) = end_open(conn, [_ending(generation, cause, chosen)], now)
    return recorded


def _ending(generation: GenerationRow, cause: Cause, chosen: Callable[[WatchRow], bool]) -> Case:
    return Case(generation[0], cause.seen.provider, cause.seen.id, cause.seen.state, cause, chosen)


def expire_some(conn: sqlite3.Connection, before: int, most: int, *, now: datetime) -> int:
    """End watches whose deadline was before `before` (microseconds); about `most` of them. How many were ended."""
    cases = [
        _ending(
            generation,
            Cause(Kind.EXPIRED, rows.seen(generation), reason="provider_unreachable"),
            lambda row: bool(row[10] < before),
        )
        for generation in _overdue(conn, before, most)
    ]
    return sum(recorded.enqueued for recorded in end_open(conn, cases, now))


def _overdue(conn: sqlite3.Connection, before: int, most: int) -> Iterator[GenerationRow]:
    for (key,) in conn.execute(_SQL["overdue_generations"], (before, most)).fetchall():
        yield rows.generation_by_key(conn, key)
