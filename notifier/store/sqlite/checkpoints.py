"""Moves the write-ahead log into the main file, on a connection of its own and off the commit path.

A passive checkpoint blocks nobody. It does not shorten the log while commits keep coming, so a log that grew long is
truncated: that blocks the writer, but only for the little that the passive one left, and for 100 ms at most if a reader
is in the way.

Nothing bounds the log while somebody reads an old state of the store: what that state still needs cannot be moved. Our
own reads are short. Another program's may not be, so a log that cannot be truncated is reported, long before the disk
is full.
"""

import sqlite3
from contextlib import closing
from typing import Final

from notifier.domain.errors import StoreUnavailable
from notifier.store.sqlite import connection, errors, files

#: A log that is so many times longer than it may be, and still cannot be truncated, is reported.
_TOO_LONG: Final = 4


def move(path: str) -> None:
    """StoreUnavailable if the disk fails, or the log grows and cannot be truncated."""
    try:
        with closing(connection.writer(path)) as conn:
            conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if (files.size(f"{path}-wal") or 0) > connection.LOG_LIMIT:
                conn.execute("PRAGMA busy_timeout = 100")
                conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        raise errors.unavailable(error, path) from error
    if (size := files.size(f"{path}-wal") or 0) > _TOO_LONG * connection.LOG_LIMIT:
        raise StoreUnavailable(
            f"store {path}: its log has grown to {size // 2**20:,} MiB, because another program keeps reading an old"
            " state of it: find it with `fuser`, and let it finish"
        )
