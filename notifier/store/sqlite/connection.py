"""Opens SQLite connections, each with the settings that its user needs, and tells our files from those of others.

Decision: WAL with `synchronous=FULL` (a commit that returned survives a power cut), checkpoints never on the commit
path (inline they cost 28-58 ms at the 99th percentile), references declared but not enforced at each write: we make
every row from a row just read, and the integrity check looks for orphans.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from notifier.domain.errors import StoreRefused
from notifier.store.sqlite import errors
from notifier.store.sqlite.statements import migrations

T = TypeVar("T")
#: "ntfr": says in the file's header that it is ours.
APPLICATION_ID: Final = 0x6E746672
#: Milliseconds to wait for a lock that another connection has.
BUSY_MS: Final = 5_000
#: KiB that the writer keeps in memory, as SQLite counts them.
CACHE: Final = -8_000
#: The log is cut back to this many bytes once it was moved into the main file.
LOG_LIMIT: Final = 64 * 1024 * 1024


def create(path: str) -> None:
    """Make the file, readable by its owner alone, unless it is there. StoreRefused if it cannot be made.

    Not while a connection of this process has it open: closing it here would end that one's locks.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise errors.refused(path, error) from error


def writer(path: str) -> sqlite3.Connection:
    """A connection that writes: transactions are begun by hand, the log is not checkpointed by it."""
    connection = _connect(path, "rw")
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # acts in an empty file only, and before anything else
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT}")
        connection.execute(f"PRAGMA cache_size = {CACHE}")
        connection.execute("PRAGMA temp_store = MEMORY")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def reader(path: str) -> sqlite3.Connection:
    """A connection that cannot write; it works beside a running daemon."""
    return _connect(path, "ro")


def read_only(path: str, work: Callable[[sqlite3.Connection], T]) -> T:
    """What `work` reads, with nothing made or changed on disk.

    A reader of a store in WAL mode makes the log if there is none, and cannot remove it. Without a log the file is
    complete by itself and is read as one that nobody writes. If somebody wrote meanwhile, it is read again.
    """
    before = _unlogged(path)
    if before is not None:
        try:
            with closing(_connect(path, "ro&immutable=1")) as conn:
                found = work(conn)
        except sqlite3.Error:
            if _unlogged(path) == before:
                raise
        else:
            if _unlogged(path) == before:
                return found
    with closing(reader(path)) as conn:
        return work(conn)


def _unlogged(path: str) -> tuple[int, int, int] | None:
    """What changes with the file, if it has no log beside it; None if it has one, or is not there."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return None if Path(f"{path}-wal").exists() else (found.st_ino, found.st_size, found.st_mtime_ns)


def schema_of(connection: sqlite3.Connection, path: str) -> int:
    """The file's schema number, 0 for an empty file. StoreRefused if it is not ours or newer than this program."""
    try:
        marks = [connection.execute(f"PRAGMA {mark}").fetchone()[0] for mark in ("application_id", "user_version")]
        empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
        raise StoreRefused(f"{path} is no notifier store, nor any SQLite file: name another file") from error
    ours, schema = marks[0] == APPLICATION_ID, int(marks[1])
    if not ours and not (empty and marks == [0, 0]):
        raise StoreRefused(f"{path} is no notifier store but another program's SQLite file: name another file")
    known = len(migrations())
    if schema > known:
        raise StoreRefused(f"store {path} is of schema {schema}, this program knows {known}: upgrade notifier")
    return schema


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the file to this program's schema, one transaction a step; forward only."""
    schema = schema_of(connection, path)
    for number, script in migrations()[schema:]:
        marks = f"PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {number};"
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{script}\n{marks}\nCOMMIT;")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.rollback()
            raise


def _connect(path: str, mode: str) -> sqlite3.Connection:
    """`check_same_thread` is off: each connection is used by one thread at a time, but not always by the same one."""
    uri = f"file:{quote(os.path.abspath(path))}?mode={mode}"  # noqa: PTH100  abspath keeps links, as the lock's name does
    return sqlite3.connect(
        uri, uri=True, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False, cached_statements=256
    )
