"""The endpoint directory that was applied last, inside a transaction, and which deliveries another one parks.

Every message is made by this directory and not by the configuration of the process that writes it, so that two
processes never park and resume each other's deliveries. It is stored as JSON with the fields of `EndpointDirectory`:
renaming one of them takes a migration.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Final

from pydantic import TypeAdapter

from notifier.domain.ids import Destination
from notifier.domain.lifecycle import DELIVERY, DeliverySignal
from notifier.domain.model import DeliveryStatus, EndpointDirectory
from notifier.domain.times import to_micros
from notifier.store import rules
from notifier.store.records import AppliedDirectory
from notifier.store.sqlite import endpoints
from notifier.store.sqlite.statements import statements

_SQL: Final = statements("directory")
_JSON: Final = TypeAdapter(EndpointDirectory)
#: Before the first one.
_NONE: Final = EndpointDirectory(events={}, callbacks=False)


def current(conn: sqlite3.Connection, destinations: Iterable[Destination]) -> EndpointDirectory:
    """The directory, with those of `destinations` that are disabled now."""
    _, directory = _applied(conn)
    return replace(directory, disabled=endpoints.disabled_among(conn, destinations))


def apply(conn: sqlite3.Connection, directory: EndpointDirectory, *, now: datetime) -> AppliedDirectory:
    epoch, before = _applied(conn)
    directory = replace(directory, disabled={})
    if directory != before or not epoch:
        content = _JSON.dump_json(directory, exclude={"disabled"}).decode()
        epoch = conn.execute(_SQL["replace_directory"], (content, to_micros(now))).fetchall()[0][0]
    parked, resumed = _park(conn, replace(directory, disabled=endpoints.all_disabled(conn)), to_micros(now))
    return AppliedDirectory(epoch=epoch, parked=parked, resumed=resumed)


def _applied(conn: sqlite3.Connection) -> tuple[int, EndpointDirectory]:
    """Its epoch, 0 before the first, and the directory."""
    found = conn.execute(_SQL["directory"]).fetchall()
    return (found[0][0], _read(found[0][1])) if found else (0, _NONE)


@lru_cache(maxsize=4)
def _read(content: str) -> EndpointDirectory:
    return _JSON.validate_json(content)


def _park(conn: sqlite3.Connection, directory: EndpointDirectory, now: int) -> tuple[int, int]:
    """(parked, resumed)."""
    parking = rules.parking(conn.execute(_SQL["pending"]).fetchall(), conn.execute(_SQL["parked"]), directory)
    parked, pending = rules.PARKED.value, DELIVERY[DeliveryStatus.PARKED][DeliverySignal.RESUME].value
    conn.executemany(_SQL["park"], [(parked, why, True, key) for key, why in parking.gone])
    conn.executemany(_SQL["park"], [(parked, why, False, key) for key, why in parking.stuck])
    conn.executemany(_SQL["resume"], [(pending, now, key) for key in parking.back])
    return len(parking.gone), len(parking.back)
