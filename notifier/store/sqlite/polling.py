"""Records what polls have shown, inside a transaction: the poller's part of the store.

Rule: a state only rises, by `lifecycle.advance`; which watches that satisfies is selected in the same transaction, so
no watch is missed in between. A poll that showed nothing new writes nothing.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from notifier.domain.ids import GenerationId, ProviderName
from notifier.domain.lifecycle import advance
from notifier.domain.model import Kind, OpenGeneration, SeenGeneration, State, Transition
from notifier.domain.times import from_micros, to_micros
from notifier.store import rules
from notifier.store.records import Ending, Recorded
from notifier.store.sqlite import bulk, rows
from notifier.store.sqlite.endings import GenerationEnding, Reason, end_open
from notifier.store.sqlite.rows import GenerationRow, WatchRow
from notifier.store.sqlite.statements import statements

_SQL: Final = statements("polling")
#: Generations handed out at a time.
CHUNK: Final = 5_000
#: The answer for a generation that nobody ever watched.
_UNKNOWN: Final = Recorded(enqueued=0, open=None)
#: State -> the targets, as they are stored, that it satisfies.
_SATISFIED: Final = {state: {target.value for target in targets} for state, targets in rules.SATISFIED.items()}


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
    return [answer for batch in rules.batches(transitions) for answer in _raise(conn, batch, now)]


def _raise(conn: sqlite3.Connection, batch: Sequence[Transition], now: datetime) -> list[Recorded]:
    found = rows.find_states(conn, [(each.provider, each.observation.id) for each in batch])
    known = [(each, *found[name]) for each in batch if (name := (each.provider, each.observation.id)) in found]
    endings = [_raised(transition, key, state) for transition, key, state in known]
    raised = [(each.key, each.reason.seen) for each in endings if each.reason is not None]
    bulk.write(conn, _SQL["raise_generations"], [_row(key, seen) for key, seen in raised])
    states = [(key, str(seen.state), rows.micros_or_none(seen.observed_at)) for key, seen in raised]
    bulk.write(conn, _SQL["add_states"], states)
    answers = iter(end_open(conn, endings, now))
    return [next(answers) if (each.provider, each.observation.id) in found else _UNKNOWN for each in batch]


def _raised(transition: Transition, key: int, before: State | None) -> GenerationEnding:
    """Which watches end by it, and in which state the generation then is."""
    observation = transition.observation
    state = None if observation.state is None else advance(before, observation.state)
    if state is None:
        return GenerationEnding(key, transition.provider, observation.id, before, None, bool)
    reason = Reason(Kind.RESULT, rules.seen_in(transition, state))
    targets = _SATISFIED[state]
    return GenerationEnding(key, transition.provider, observation.id, state, reason, lambda row: row.target in targets)


def _row(key: int, seen: SeenGeneration) -> tuple[object, ...]:
    assert seen.state is not None, "a generation is raised to a state"
    return (
        key,
        seen.state.value,
        seen.provider_state,
        rows.result_text(seen.result),
        seen.failure,
        seen.record,
        seen.record_omitted,
        rows.micros_or_none(seen.observed_at),
        rows.micros_or_none(seen.not_before),
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
                return row.deadline <= observed_at
            case Kind.UNKNOWN:
                return True
            case _:
                raise ValueError("a result is recorded as a transition, not as an ending")

    reason = Reason(ending.kind, rows.seen(generation), detail=ending.reason)
    (recorded,) = end_open(conn, [_ending(generation, reason, chosen)], now)
    return recorded


def _ending(generation: GenerationRow, reason: Reason, chosen: Callable[[WatchRow], bool]) -> GenerationEnding:
    return GenerationEnding(generation.key, reason.seen.provider, reason.seen.id, reason.seen.state, reason, chosen)


def expire_some(conn: sqlite3.Connection, before: int, most: int, *, now: datetime) -> int:
    """End watches whose deadline was before `before` (microseconds); about `most` of them. How many were ended."""
    endings = []
    for (key,) in conn.execute(_SQL["overdue_generations"], (before, most)).fetchall():
        generation = rows.generation_by_key(conn, key)
        reason = Reason(Kind.EXPIRED, rows.seen(generation), detail="provider_unreachable")
        endings.append(_ending(generation, reason, lambda row: row.deadline < before))
    return sum(recorded.enqueued for recorded in end_open(conn, endings, now))
