"""Why a provider does not answer, about one generation or at all: what the poller says, for people."""

import sqlite3
from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

import orjson

from notifier.domain.ids import GenerationId, ProviderName
from notifier.domain.times import from_micros, to_micros
from notifier.store.records import Trouble
from notifier.store.sqlite import bulk
from notifier.store.sqlite.statements import statements

_SQL: Final = statements("troubles")


def save(
    conn: sqlite3.Connection, provider: ProviderName, changes: Mapping[GenerationId | None, Trouble | None]
) -> None:
    rows = [(_written(trouble), id_, provider) for id_, trouble in changes.items() if id_ is not None]
    bulk.write(conn, _SQL["set_generations"], rows)
    if None not in changes:
        return
    if (trouble := changes[None]) is None:
        conn.execute(_SQL["clear_provider"], (provider,))
    else:
        conn.execute(_SQL["set_provider"], (provider, _written(trouble)))


def load(conn: sqlite3.Connection, provider: ProviderName) -> dict[GenerationId | None, Trouble]:
    """Those of its generations, and under None its own."""
    found: dict[GenerationId | None, Trouble] = {}
    for id_, text in conn.execute(_SQL["troubles_of_generations"], (provider,)):
        found[GenerationId(id_)] = read(text)
    for (text,) in conn.execute(_SQL["trouble_of_provider"], (provider,)):
        found[None] = read(text)
    return found


def of_providers(conn: sqlite3.Connection) -> dict[ProviderName, Trouble]:
    return {ProviderName(provider): read(text) for provider, text in conn.execute(_SQL["troubles_of_providers"])}


def read(text: str) -> Trouble:
    """What `_written` wrote."""
    fields = orjson.loads(text)
    return Trouble(**fields | {"since": from_micros(fields["since"]), "last": from_micros(fields["last"])})


def _written(trouble: Trouble | None) -> str | None:
    if trouble is None:
        return None
    return orjson.dumps(asdict(trouble) | {"since": to_micros(trouble.since), "last": to_micros(trouble.last)}).decode()
