"""Rows of the main tables as records of the model, and back. Owns the order of their columns, and no rule.

Times are stored as whole microseconds, words as text, and a result as JSON.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Final, NamedTuple

import orjson

from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName, WatchId
from notifier.domain.model import DeliveryStatus, NewDelivery, Result, SeenGeneration, State, Watch, WatchStatus
from notifier.domain.times import from_micros, to_micros
from notifier.store.sqlite import bulk
from notifier.store.sqlite.statements import statements

SQL: Final = statements("watches")
_KEY: Final = itemgetter(0)
#: `from_micros`; rows that were written together hold the same few times.
moment: Final = lru_cache(maxsize=1_024)(from_micros)
#: Words as they are stored -> words of the model: several times faster than to call the enumeration.
STATES: Final = {state.value: state for state in State}
#: A state's rank -> the state.
RANKED: Final = {state.rank: state for state in State}
WATCH_STATUSES: Final = {status.value: status for status in WatchStatus}
_NO_RESULT: Final = Result()


def moment_or_none(micros: int | None) -> datetime | None:
    return None if micros is None else moment(micros)


def micros_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)


class GenerationRow(NamedTuple):
    """Of `find_generation`."""

    key: int
    provider: ProviderName
    id: GenerationId
    state: str | None
    provider_state: str | None
    result: str | None
    failure: str | None
    record: bytes | None
    record_omitted: int
    registered_at: int
    observed_at: int | None
    not_before: int | None


class WatchRow(NamedTuple):
    """Of `find_watches` and `open_watches`, and of `add_watches`; times and the timeout in microseconds."""

    key: int
    id: WatchId
    target: str
    endpoint: EndpointIdentity
    destination: Destination
    status: str
    round: int
    #: Text as it is read, bytes as it is written.
    metadata: str | bytes
    timeout: int
    registered_at: int
    deadline: int


def find_generation(conn: sqlite3.Connection, provider: str, generation: str) -> GenerationRow | None:
    row = conn.execute(SQL["find_generation"], (generation, provider)).fetchone()
    return None if row is None else GenerationRow(*row)


def generation_by_key(conn: sqlite3.Connection, key: int) -> GenerationRow:
    return GenerationRow(*conn.execute(SQL["find_generation_by_key"], (key,)).fetchone())


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


def seen(row: GenerationRow) -> SeenGeneration:
    """The recorded facts, from which bodies are made."""
    return SeenGeneration(
        provider=row.provider,
        id=row.id,
        state=None if row.state is None else STATES[row.state],
        provider_state=row.provider_state,
        result=result_from(row.result),
        failure=row.failure,
        record=row.record,
        record_omitted=bool(row.record_omitted),
        observed_at=moment_or_none(row.observed_at),
        not_before=moment_or_none(row.not_before),
    )


@lru_cache(maxsize=1_024)
def destinations_from(text: str) -> tuple[Destination, ...]:
    """Of a JSON list."""
    return tuple(map(Destination, sorted(orjson.loads(text))))


def open_watches(conn: sqlite3.Connection, generations: Sequence[int]) -> dict[int, list[WatchRow]]:
    """The open watches of each of `generations` that has any, in the order they came."""
    found: dict[int, list[WatchRow]] = {}
    for generation, *row in bulk.read(conn, SQL["open_watches"], {"generations": bulk.listed(generations)}):
        found.setdefault(generation, []).append(WatchRow._make(row))
    for several in found.values():
        several.sort(key=_KEY)
    return found


def watch(row: WatchRow, provider: ProviderName, generation: GenerationId) -> Watch:
    return Watch(
        id=row.id,
        provider=provider,
        generation=generation,
        target=STATES[row.target],
        endpoint=row.endpoint,
        destination=row.destination,
        status=WATCH_STATUSES[row.status],
        round=row.round,
        metadata=metadata(row),
        registered_at=moment(row.registered_at),
        deadline=moment(row.deadline),
    )


def metadata(row: WatchRow) -> bytes:
    return row.metadata.encode() if isinstance(row.metadata, str) else row.metadata


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
    """The stored form; None if there is no result at all."""
    if result == _NO_RESULT:
        return None
    return orjson.dumps({"url": result.url, "urls": result.urls, "text": result.text}).decode()
