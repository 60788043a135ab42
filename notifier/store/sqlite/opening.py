"""Opens a store: for the daemon, which owns it, or for a reader beside it.

Rules: one owner at a time; the file and its lock are readable by their owner alone; only the owner migrates, forward
only; a file that is not ours, or newer than this program, is refused with what to do about it. Links are followed once,
here: the lock, and SQLite's own files, are beside the real file, by whatever name it is opened. Who has the lock knows
that no worker of an earlier run is left, so the leases that are found belong to nobody.
"""

import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Final

import anyio.to_thread

from notifier.domain.errors import StoreRefused, StoreUnavailable
from notifier.store.ports import ReportStore
from notifier.store.sqlite import connection, deliveries, errors, files, lock
from notifier.store.sqlite.reports import SqliteReports
from notifier.store.sqlite.statements import migrations
from notifier.store.sqlite.store import SqliteStore
from notifier.store.sqlite.writer import Writer

#: Looks for the log of a daemon that has the store, and seconds between two of them.
_LOG_LOOKS: Final = 30
_LOG_WAIT: Final = 0.1


@asynccontextmanager
async def open_store(path: str, *, owner_lock: bool = True) -> AsyncIterator[SqliteStore]:
    """The store at `path`, made if there is none and brought to this program's schema; closed at the end.

    StoreRefused if it must not be opened; StoreUnavailable if the disk fails. `owner_lock` False leaves out the
    lock, for a file that nobody else can know of.
    """
    named, path = path, await anyio.to_thread.run_sync(os.path.realpath, path)
    await anyio.to_thread.run_sync(_refuse_places, path)  # before a file or a lock is made there
    with lock.owned(path) if owner_lock else nullcontext() as held:
        writer = Writer(path, await anyio.to_thread.run_sync(_open_writer, path, held), named=named)
        try:
            yield SqliteStore(path, writer)
        finally:
            await writer.close()


@asynccontextmanager
async def open_reader(path: str, *, older: bool = False) -> AsyncIterator[ReportStore]:
    """What the store at `path` knows, beside a running daemon: no lock, no change, no migration.

    StoreRefused if there is no such store or it is of another schema. With `older`, one that this program would
    first bring up to date will do: for what reads no table of it.
    """
    path = await anyio.to_thread.run_sync(os.path.realpath, path)
    await anyio.to_thread.run_sync(_check_readable, path, older)
    yield SqliteReports(path)


def store_exists(path: str) -> bool:
    """Whether there is something at `path`. StoreRefused if nobody can say, or if only its log is there."""
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        _refuse_log_alone(os.path.realpath(path))
        return False
    except OSError as error:
        raise errors.unseen(path, error) from error
    return True


def _refuse_places(path: str) -> None:
    if os.path.isdir(path):  # noqa: PTH112  never raises
        raise errors.directory_refused(path)
    for name in (f"{path}-wal", f"{path}-shm", f"{path}.lock"):
        if os.path.isdir(name):  # noqa: PTH112  never raises
            raise StoreRefused(f"{name} is a directory, and notifier keeps a file of the store there: move it away")
    _refuse_log_alone(path)


def _refuse_log_alone(path: str) -> None:
    """A log without its file: SQLite removes it as soon as anybody opens a new or an empty file of that name."""
    log, size = Path(f"{path}-wal"), files.size(path)
    if size or not files.size(str(log)):
        return
    what = "is not there" if size is None else "is empty"
    raise StoreRefused(
        f"store {path} {what}, but its log, {log.name}, is: what was written last stands there alone. Put the file back"
        f" beside it; or, to begin with a backup or anew, move {log.name} and {Path(path).name}-shm away first"
    )


def _open_writer(path: str, held: int | None = None) -> sqlite3.Connection:
    """`held` is the open file that the lock is on, which is to be the same."""
    if held is None:
        connection.create(path)
    elif not os.path.samestat(os.fstat(held), Path(path).stat()):
        raise StoreUnavailable(f"store {path}: the file was replaced while it was opened: start notifier again")
    with _translated(path):
        with closing(connection.reader(path)) as conn:
            connection.schema_of(conn, path)  # before anything is changed in a file that may not be ours
        conn = connection.writer(path)
        try:
            connection.migrate(conn, path)
            deliveries.disown_leases(conn)
        except BaseException:
            conn.close()
            raise
        return conn


def _check_readable(path: str, older: bool) -> None:  # noqa: FBT001  threads are passed positions only
    _refuse_log_alone(path)
    if not store_exists(path):
        raise StoreRefused(f"there is no store at {path}: check `store:` in the configuration, or start `notifier run`")
    if Path(path).is_dir():
        raise errors.directory_refused(path)
    if not os.access(path, os.R_OK, effective_ids=True):
        raise StoreRefused(f"{path} cannot be read by this user: run this as the user that runs notifier, or as root")
    _wait_for_log(path)
    with _translated(path):
        schema = connection.read_only(path, lambda conn: connection.schema_of(conn, path))
    known = len(migrations())
    if schema < known and not older:
        raise StoreRefused(
            f"store {path} is of schema {schema}, this program reads {known}: `notifier run` brings it up to date"
        )


def _wait_for_log(path: str) -> None:
    """A daemon has the log: without it the file says what was so some time ago.

    One that starts makes it at once, and one whose log was removed makes another. StoreUnavailable if none does.
    """
    for _ in range(_LOG_LOOKS):
        if Path(f"{path}-wal").exists() or not lock.held(path):
            return
        time.sleep(_LOG_WAIT)
    raise StoreUnavailable(
        f"store {path}: its log, {Path(path).name}-wal, was removed or moved while notifier uses it: put it back, or"
        " stop notifier, which saves what was in it, and start it again"
    )


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise errors.unavailable(error, path) from error
