"""Moves the write-ahead log into the main file, on a connection of its own and off the commit path.

A passive checkpoint stops nobody. It leaves the log's length as it is while commits keep coming, so a log that grew
long is cut: that holds the writer back, but only for the little the passive one left, and for 100 ms at most where a
reader is in the way.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from notifier.store.sqlite import connection, trouble


def move(path: str) -> None:
    """StoreUnavailable where the disk fails."""
    try:
        with closing(connection.writer(path)) as conn:
            conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if _log_size(path) > connection.LOG_LIMIT:
                conn.execute("PRAGMA busy_timeout = 100")
                conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        raise trouble.unavailable(error, path) from error


def _log_size(path: str) -> int:
    """Bytes; 0 where there is no log."""
    try:
        return Path(f"{path}-wal").stat().st_size
    except FileNotFoundError:
        return 0
