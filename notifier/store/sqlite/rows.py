"""Rows of the main tables as words of the model, and back. Owns the order of their columns, and no rule.

Times are stored as whole microseconds, words as text, and a result as JSON.
"""

import sqlite3
from typing import Any, Final

import orjson

from notifier.clock import from_micros
from notifier.ids import EndpointIdentity, GenerationId, Lane, ProviderName, WatchId
from notifier.model import OpenGeneration, Result, SeenGeneration, State, Watch, WatchStatus
from notifier.store.sqlite.statements import statements

SQL: Final = statements("watches")
#: One row of `find_generation`: key, provider, id, state, …
GenerationRow = tuple[Any, ...]
#: One row of `find_watch` or `open_watches`: key, id, target, endpoint, …
WatchRow = tuple[Any, ...]


def find_generation(conn: sqlite3.Connection, provider: str, generation: str) -> GenerationRow | None:
    row: GenerationRow | None = conn.execute(SQL["find_generation"], (generation, provider)).fetchone()
    return row


def recorded_state(row: GenerationRow) -> State | None:
    return None if row[3] is None else State(row[3])


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
        observed_at=None if row[10] is None else from_micros(row[10]),
        not_before=None if row[11] is None else from_micros(row[11]),
    )


def open_generation(conn: sqlite3.Connection, row: GenerationRow, state: State | None) -> OpenGeneration | None:
    """The generation as it is still watched; None where no watch is open."""
    since, deadline = conn.execute(SQL["open_since_and_until"], (row[0],)).fetchone()
    if deadline is None:
        return None
    return OpenGeneration(
        provider=ProviderName(row[1]),
        id=GenerationId(row[2]),
        state=state,
        registered_at=from_micros(since),
        deadline=from_micros(deadline),
    )


def watch(row: WatchRow, generation: GenerationRow) -> Watch:
    return Watch(
        id=WatchId(row[1]),
        provider=ProviderName(generation[1]),
        generation=GenerationId(generation[2]),
        target=State(row[2]),
        endpoint=EndpointIdentity(row[3]),
        lane=Lane(row[4]),
        status=WatchStatus(row[5]),
        round=row[6],
        metadata=row[7],
        registered_at=from_micros(row[9]),
        deadline=from_micros(row[10]),
    )


def result_from(text: str | None) -> Result:
    if text is None:
        return Result()
    kept = orjson.loads(text)
    return Result(url=kept["url"], urls=tuple(kept["urls"]), text=kept["text"])


def result_text(result: Result) -> str | None:
    """The stored form; None where there is no result at all."""
    if result == Result():
        return None
    return orjson.dumps({"url": result.url, "urls": result.urls, "text": result.text}).decode()
