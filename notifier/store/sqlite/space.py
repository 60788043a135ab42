"""What the file takes on the disk, and how it gives back what it does not need.

Decision: pages that pruning frees are used again first, so a file whose load is steady keeps its size. Only what is
free beyond a tenth of the file, and beyond `KEPT`, is given back, a few pages at a time: `VACUUM` would stop every
write while it copies the whole file, and needs room for a second one. That works in files that were made with
`auto_vacuum = INCREMENTAL`, as ours are since there is retention; an older file keeps its size until somebody stops
notifier and runs `VACUUM` by hand.
"""

import sqlite3
from typing import Final

from notifier.store.records import Size
from notifier.store.sqlite import files

#: Pages of one transaction.
STEP: Final = 100
#: Free pages that are never given back: 64 MiB.
KEPT: Final = 16_384
_INCREMENTAL: Final = 2


def measure(conn: sqlite3.Connection, path: str) -> Size:
    """On a connection that reads."""
    return Size(
        file=files.size(path) or 0,
        log=files.size(f"{path}-wal") or 0,
        free_pages=_pragma(conn, "freelist_count"),
        page=_pragma(conn, "page_size"),
    )


def give_back(conn: sqlite3.Connection, *, kept: int = KEPT) -> int:
    """Cut some free pages off the end of the file, inside a transaction; how many. It is shorter after a checkpoint."""
    free = _pragma(conn, "freelist_count")
    spare = min(STEP, free - max(kept, _pragma(conn, "page_count") // 10))
    if spare <= 0 or _pragma(conn, "auto_vacuum") != _INCREMENTAL:
        return 0
    for _ in range(spare):
        conn.execute("PRAGMA incremental_vacuum")  # it moves a page a row, and the driver asks for the first row only
    return free - _pragma(conn, "freelist_count")


def _pragma(conn: sqlite3.Connection, name: str) -> int:
    return int(conn.execute(f"PRAGMA {name}").fetchone()[0])
