"""What the store knows, for people: counts, lists, whole histories, the integrity check and the backup.

Reads only, each report from one moment, on connections of its own that cannot write; it works beside a running daemon.
"""

import os
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from notifier.domain.errors import BackupRefused, StoreUnavailable
from notifier.domain.ids import GenerationId, ProviderName
from notifier.domain.model import DeliveryStatus, State, WatchStatus
from notifier.domain.times import from_micros
from notifier.store.records import Counts, EndpointSummary, GenerationSummary, History, Trouble
from notifier.store.sqlite import bulk, connection, endpoints, errors, history, troubles
from notifier.store.sqlite.statements import statements

T = TypeVar("T")
_SQL: Final = statements("report")
#: Reads at a time; each has a thread and a connection.
_READERS: Final = 4


class SqliteReports:
    """`ReportStore` on one file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._readers = anyio.CapacityLimiter(_READERS)

    async def counts(self) -> Counts:
        return await self._read(_counts)

    async def generations(self, *, open_only: bool, limit: int) -> Sequence[GenerationSummary]:
        return await self._read(lambda conn: _generations(conn, open_only=open_only, limit=limit))

    async def histories(self, generation: GenerationId) -> Sequence[History]:
        return await self._read(lambda conn: history.read(conn, generation))

    async def provider_troubles(self) -> Mapping[ProviderName, Trouble]:
        return await self._read(troubles.of_providers)

    async def endpoint_summaries(self) -> Sequence[EndpointSummary]:
        return await self._read(endpoints.report)

    async def problems(self, *, deep: bool) -> Sequence[str]:
        return await self._read(lambda conn: list(_problems(conn, deep=deep)))

    async def backup(self, path: str) -> None:
        """BackupRefused if `path` exists or cannot be made; StoreUnavailable if the disk fails meanwhile."""
        await anyio.to_thread.run_sync(_backup, self.path, path, limiter=self._readers)

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The answer of `work`, which sees one moment of the store."""
        return await anyio.to_thread.run_sync(_read, self.path, work, limiter=self._readers)


def _read(path: str, work: Callable[[sqlite3.Connection], T]) -> T:
    try:
        return connection.read_only(path, lambda conn: _at_one_moment(conn, work))
    except sqlite3.Error as error:
        raise StoreUnavailable(str(errors.unavailable(error, path)), reading=True) from error


def _at_one_moment(conn: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    conn.execute("BEGIN")
    return work(conn)


def _counts(conn: sqlite3.Connection) -> Counts:
    return Counts(
        open_generations=conn.execute(_SQL["count_open_generations"]).fetchone()[0],
        watches={WatchStatus(status): count for status, count in conn.execute(_SQL["count_watches"])},
        deliveries={DeliveryStatus(status): count for status, count in conn.execute(_SQL["count_deliveries"])},
    )


def _generations(conn: sqlite3.Connection, *, open_only: bool, limit: int) -> list[GenerationSummary]:
    name = "newest_open_generations" if open_only else "newest_generations"
    found = conn.execute(_SQL[name], (limit,)).fetchall()
    keys = bulk.listed([key for key, *_ in found])
    watches = _tallies(conn, "watches_by_generation", keys)
    deliveries = _tallies(conn, "deliveries_by_generation", keys)
    return [
        GenerationSummary(
            provider=ProviderName(provider),
            id=GenerationId(id_),
            state=None if state is None else State(state),
            registered_at=from_micros(registered_at),
            watches={WatchStatus(status): count for status, count in watches[key].items()},
            deliveries={DeliveryStatus(status): count for status, count in deliveries[key].items()},
            trouble=None if trouble is None else troubles.read(trouble),
        )
        for key, provider, id_, state, registered_at, trouble in found
    ]


def _tallies(conn: sqlite3.Connection, name: str, keys: str) -> Mapping[int, dict[str, int]]:
    """Counts by status, by generation."""
    found: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for generation, status, count in conn.execute(_SQL[name], (keys,)):
        found[generation][status] = count
    return found


def _problems(conn: sqlite3.Connection, *, deep: bool) -> Iterator[str]:
    for (line,) in conn.execute("PRAGMA integrity_check" if deep else "PRAGMA quick_check"):
        if line != "ok":
            yield line
    for table, key, parent, _ in conn.execute("PRAGMA foreign_key_check"):
        yield f"row {key} of {table} belongs to a row of {parent} that does not exist"


def _backup(path: str, target: str) -> None:
    """`VACUUM INTO` a file of the owner's alone; it returns once that is on the disk, whole."""

    def vacuum_into(conn: sqlite3.Connection) -> None:
        os.ftruncate(made, 0)  # it may be read twice
        conn.execute("VACUUM INTO ?", (target,))

    try:
        made = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise BackupRefused(f"{target} exists already: name a file that does not") from None
    except OSError as error:
        raise BackupRefused(str(errors.refused(target, error))) from error
    try:
        connection.read_only(path, vacuum_into)
        os.fsync(made)
        directory = os.open(Path(target).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)  # a new file's name is durable only when its directory is
        finally:
            os.close(directory)
    except (sqlite3.Error, OSError) as error:
        Path(target).unlink(missing_ok=True)
        raise errors.unavailable(error, target) from error
    finally:
        os.close(made)
