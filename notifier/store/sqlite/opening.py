"""Opens a store: for the daemon, which owns it, or for a reader beside it.

Rules: one owner at a time; the file and its lock are readable by their owner alone; only the owner migrates, forward
only; a file that is not ours, or newer than this program, is refused with what to do about it.
"""

import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, nullcontext
from pathlib import Path

import anyio
import anyio.to_thread

from notifier.errors import StoreRefused
from notifier.store.base import ReportStore
from notifier.store.sqlite import connection, lock, trouble
from notifier.store.sqlite.reports import SqliteReports
from notifier.store.sqlite.statements import migrations
from notifier.store.sqlite.store import SqliteStore
from notifier.store.sqlite.writer import Writer


@asynccontextmanager
async def open_store(path: str, *, owner_lock: bool = True) -> AsyncIterator[SqliteStore]:
    """The store at `path`, made where there is none and brought to this program's schema; closed at the end.

    StoreRefused where it must not be opened; StoreUnavailable where the disk fails. `owner_lock` False leaves out the
    lock, for a file that nobody else can know of.
    """
    if await anyio.Path(path).is_dir():  # before a lock is made beside it
        raise trouble.directory_refused(path)
    with lock.owned(path) if owner_lock else nullcontext():
        writer = Writer(path, await anyio.to_thread.run_sync(_open_writer, path))
        try:
            yield SqliteStore(path, writer)
        finally:
            await writer.close()


@asynccontextmanager
async def open_reader(path: str) -> AsyncIterator[ReportStore]:
    """What the store at `path` knows, beside a running daemon: no lock, no change, no migration.

    StoreRefused where there is no such store or it is of another schema.
    """
    await anyio.to_thread.run_sync(_check_readable, path)
    yield SqliteReports(path)


def _open_writer(path: str) -> sqlite3.Connection:
    connection.create(path)
    with _translated(path):
        with closing(connection.reader(path)) as conn:
            connection.schema_of(conn, path)  # before anything is changed in a file that may not be ours
        conn = connection.writer(path)
        try:
            connection.migrate(conn, path)
        except BaseException:
            conn.close()
            raise
        return conn


def _check_readable(path: str) -> None:
    if not Path(path).exists():
        raise StoreRefused(f"there is no store at {path}: check `store:` in the configuration, or start `notifier run`")
    if Path(path).is_dir():
        raise trouble.directory_refused(path)
    if not os.access(path, os.R_OK):
        raise StoreRefused(f"{path} cannot be read by this user: run this as the user that runs notifier, or as root")
    with _translated(path):
        schema = connection.look(path, lambda conn: connection.schema_of(conn, path))
    known = len(migrations())
    if schema < known:
        raise StoreRefused(
            f"store {path} is of schema {schema}, this program reads {known}: `notifier run` brings it up to date"
        )


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise trouble.unavailable(error, path) from error
