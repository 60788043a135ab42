"""Rows of the main tables as words of the model, and back. Owns the order of their columns, and no rule.

Times are stored as whole microseconds, words as text, and a result as JSON.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

import orjson

from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName, WatchId
from notifier.domain.message import RECORD_LIMIT
from notifier.domain.model import (
    DeliveryStatus,
    NewDelivery,
    Observation,
    Result,
    SeenGeneration,
    State,
    Watch,
    WatchStatus,
)
from notifier.domain.times import from_micros, to_micros
from notifier.store.sqlite import bulk
from notifier.store.sqlite.statements import statements

SQL: Final = statements("watches")
#: One row of `find_generation`: key, provider, id, state, …
GenerationRow = tuple[Any, ...]
#: One row of `find_watches` or `open_watches`, without its generation: key, id, target, endpoint, …
#: Its metadata is text, as it is read in bulk.
WatchRow = Sequence[Any]
_KEY: Final = itemgetter(0)
#: `from_micros`; rows that were written together hold the same few times.
moment: Final = lru_cache(maxsize=1_024)(from_micros)
#: Words as they are stored -> words of the model: several times faster than to call the enumeration.
STATES: Final = {state.value: state for state in State}
#: A state's rank -> the state.
RANKED: Final = {state.rank: state for state in State}
_WATCH_STATUSES: Final = {status.value: status for status in WatchStatus}
_NO_RESULT: Final = Result()


def find_generation(conn: sqlite3.Connection, provider: str, generation: str) -> GenerationRow | None:
    row: GenerationRow | None = conn.execute(SQL["find_generation"], (generation, provider)).fetchone()
    return row


def generation_by_key(conn: sqlite3.Connection, key: int) -> GenerationRow:
    row: GenerationRow = conn.execute(SQL["find_generation_by_key"], (key,)).fetchone()
    return row


def find_states(
    conn: sqlite3.Connection, names: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], tuple[int, State | None]]:
    """(provider, ID) -> (key, recorded state) of those generations that are there."""
    asked: dict[str, list[str]] = {}
    for provider, id_ in names:
        asked.setdefault(provider, []).append(id_)
    return {
        (provider, id_): (key, None if state is None else STATES[state])
        for provider, ids in asked.items()
        for id_, key, state in bulk.read(conn, SQL["find_states"], {"provider": provider, "ids": bulk.listed(ids)})
    }


def recorded_state(row: GenerationRow) -> State | None:
    return None if row[3] is None else STATES[row[3]]


def seen(row: GenerationRow) -> SeenGeneration:
    """The recorded facts, from which bodies are made."""
    return SeenGeneration(
        provider=ProviderName(row[1]),
        id=GenerationId(row[2]),
        state=recorded_state(row),
        provider_state=row[4],
        result=result_from(row[5]),
        failure=row[6],
        record=row[7],
        record_omitted=bool(row[8]),
        observed_at=None if row[10] is None else moment(row[10]),
        not_before=None if row[11] is None else moment(row[11]),
    )


@lru_cache(maxsize=1_024)
def destinations_from(text: str) -> tuple[Destination, ...]:
    """Of a JSON list."""
    return tuple(map(Destination, sorted(orjson.loads(text))))


def open_watches(conn: sqlite3.Connection, generations: Sequence[int]) -> dict[int, list[WatchRow]]:
    """The open watches of each of `generations` that has any, in the order they came."""
    found: dict[int, list[WatchRow]] = {}
    for generation, *row in bulk.read(conn, SQL["open_watches"], {"generations": bulk.listed(generations)}):
        found.setdefault(generation, []).append(row)
    for several in found.values():
        several.sort(key=_KEY)
    return found


def watch(row: WatchRow, provider: ProviderName, generation: GenerationId) -> Watch:
    """One of `open_watches`."""
    return Watch(
        id=WatchId(row[1]),
        provider=provider,
        generation=generation,
        target=STATES[row[2]],
        endpoint=EndpointIdentity(row[3]),
        destination=Destination(row[4]),
        status=_WATCH_STATUSES[row[5]],
        round=row[6],
        metadata=row[7].encode(),
        registered_at=moment(row[9]),
        deadline=moment(row[10]),
    )


def add_deliveries(conn: sqlite3.Connection, made: Iterable[tuple[int | None, NewDelivery]], now: datetime) -> None:
    """Insert messages, each with the key of its watch (None: it belongs to none). No other code inserts any."""
    created_at, made = to_micros(now), list(made)
    deliveries = [
        (
            each.message_id,
            watch,
            each.kind.value,
            each.type,
            each.endpoint,
            each.destination,
            each.status.value,
            each.reason,
            created_at,
            to_micros(now + each.wait) if each.status is DeliveryStatus.PENDING else None,
            each.resumes,
        )
        for watch, each in made
    ]
    bulk.write(conn, SQL["add_deliveries"], deliveries)
    bulk.write(conn, SQL["add_bodies"], [(each.message_id, each.content_type, each.body) for _, each in made])


def result_from(text: str | None) -> Result:
    if text is None:
        return Result()
    kept = orjson.loads(text)
    return Result(url=kept["url"], urls=tuple(kept["urls"]), text=kept["text"])


def result_text(result: Result) -> str | None:
    """The stored form; None where there is no result at all."""
    if result == _NO_RESULT:
        return None
    return orjson.dumps({"url": result.url, "urls": result.urls, "text": result.text}).decode()


def stored_record(observation: Observation) -> tuple[bytes | None, bool]:
    """The provider's record in its stored form, and whether it was too large to keep."""
    if observation.record is None:
        return None, False
    text = orjson.dumps(dict(observation.record))
    return (text, False) if len(text) <= RECORD_LIMIT else (None, True)
