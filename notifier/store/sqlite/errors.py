"""What the disk and SQLite say when they fail, in words for the operator. The one translation; it is total.

`StoreUnavailable` is for what may pass (full, read-only, busy, broken disk); whoever opens decides on `StoreRefused`.
"""

import errno
import os
import resource
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from notifier.domain.errors import StoreError, StoreRefused, StoreUnavailable
from notifier.domain.os_errors import reason

#: By primary result code. What happened, then what to do.
_SENTENCES: Final = {
    sqlite3.SQLITE_FULL: "the disk is full, or the file may not grow: free some space",
    sqlite3.SQLITE_READONLY: "it cannot be written: check its mode, its owner and how its disk is mounted",
    sqlite3.SQLITE_PERM: "permission denied: check the owner and mode of the file and its directory",
    sqlite3.SQLITE_BUSY: "another program keeps it locked: find it with `fuser`, and let it finish",
    sqlite3.SQLITE_LOCKED: "another program keeps it locked: find it with `fuser`, and let it finish",
    sqlite3.SQLITE_IOERR: "the disk failed to read or write: look at the kernel's log (`dmesg`)",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check that its directory exists and who may write there",
    sqlite3.SQLITE_NOMEM: "memory ran out",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: stop notifier and restore a backup",
    sqlite3.SQLITE_NOTADB: "the file is damaged: stop notifier and restore a backup",
    sqlite3.SQLITE_PROTOCOL: "another program keeps it locked: find it with `fuser`, and let it finish",
}
NO_DESCRIPTORS: Final = (
    "no more files can be open at a time: raise that limit (`LimitNOFILE=` of the service, `ulimit -n`)"
)
_OF_ANOTHER: Final = (
    "cannot be written by this user: be the user that runs notifier, or root; if this is that user, give it"
)
#: Bytes that a write adds, at least.
_PAGE: Final = 4096
_DISK: Final = {
    errno.ENOSPC: _SENTENCES[sqlite3.SQLITE_FULL],
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EROFS: _SENTENCES[sqlite3.SQLITE_READONLY],
    errno.EIO: _SENTENCES[sqlite3.SQLITE_IOERR],
}


def concerns_storage(error: BaseException) -> bool:
    """True if the file, not the statement, is at fault: then nothing that shares the commit can succeed."""
    return isinstance(error, sqlite3.Error) and _primary(error) in _SENTENCES


def unavailable(error: sqlite3.Error | OSError, path: str) -> StoreUnavailable:
    """`error` at `path` as the sentence that an operator acts on; SQLite's own words follow it."""
    if isinstance(error, OSError):
        why = _DISK.get(error.errno or 0, "it cannot be used")
        return StoreUnavailable(f"store {path}: {why} ({error.strerror})")
    why = _SENTENCES.get(_primary(error), "it cannot be used")
    if _primary(error) == sqlite3.SQLITE_IOERR:
        why = _no_room(path) or why
    if _primary(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR) and _no_descriptor():
        why = NO_DESCRIPTORS
    return StoreUnavailable(f"store {path}: {why} ({error})")


def _no_descriptor() -> bool:
    """Whether no more files can be opened: SQLite says of that no more than that a file cannot be opened."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False


def _no_room(path: str) -> str | None:
    """Why nothing more fits, if that is the cause: SQLite says of some such errors only that the disk failed."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        longest = max(file.stat().st_size for file in (Path(path), Path(f"{path}-wal")) if file.exists())
        free = os.statvfs(path).f_bavail
    except (OSError, ValueError):
        return None
    if limit != resource.RLIM_INFINITY and longest + _PAGE > limit:
        return "a limit on the size of files is reached: raise it (`LimitFSIZE=` of the service, or `ulimit -f`)"
    return _SENTENCES[sqlite3.SQLITE_FULL] if free == 0 else None


def passes(error: Exception) -> bool:
    """True if the same connection can go on once there is room, the other program is done or the file is back."""
    if isinstance(error, StoreUnavailable):
        return True
    return isinstance(error, sqlite3.Error) and _primary(error) in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    )


def refused(path: str, error: OSError) -> StoreError:
    """Why the file at `path` cannot be made: StoreUnavailable if the disk may recover, else StoreRefused."""
    if error.errno in _DISK:
        return unavailable(error, path)
    if error.errno == errno.EISDIR:
        return directory_refused(path)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return StoreRefused(
            f"directory {Path(path).parent} does not exist: make it, owned by the user that runs notifier"
        )
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return StoreUnavailable(f"cannot open {path}: {NO_DESCRIPTORS}")
    if (directory := _shut(path)) is not None:
        return StoreRefused(
            f"cannot open {path}: this user may not enter {directory}: give it to the user that runs notifier"
        )
    return StoreRefused(f"cannot open {path}: {error.strerror}")


def not_opened(name: str, store: str, error: OSError) -> StoreError:
    """Why the daemon cannot open `name`, a file of the store at `store`."""
    if error.errno in (errno.EACCES, errno.EPERM) and _shut(name) is None:
        return StoreRefused(next(write_obstacles(store), f"{name} {_OF_ANOTHER} the file"))
    return refused(name, error)


def write_obstacles(path: str) -> Iterator[str]:
    """Why this user could not make or change the store at `path`: other files are made beside it, too."""
    directory = Path(path).parent
    try:
        missing = not stat.S_ISDIR(directory.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        missing = True
    except OSError as error:
        yield f"directory {directory} cannot be looked at: {reason(error)}"
        return
    if missing:
        yield f"directory {directory} does not exist: make it, owned by the user that runs notifier"
    elif not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        yield f"directory {directory} {_OF_ANOTHER} the directory"
    else:
        for name in (path, f"{path}-wal", f"{path}-shm", f"{path}.lock"):
            if os.path.exists(name) and not os.access(name, os.W_OK, effective_ids=True):  # noqa: PTH110  never raises
                yield f"{name} {_OF_ANOTHER} the file"


def unseen(path: str, error: OSError) -> StoreRefused:
    """Why nobody can say whether there is a store at `path`: it is not the same as that there is none."""
    if (directory := _shut(path)) is not None:
        why = f"this user may not enter {directory}: run this as the user that runs notifier, or as root"
        return StoreRefused(f"store {path} cannot be looked at: {why}")
    return StoreRefused(f"store {path} cannot be looked at: {error.strerror}")


def _shut(path: str) -> Path | None:
    """The first directory on the way to `path` that this user may not enter."""
    way = reversed(Path(path).parents)
    return next((each for each in way if not os.access(each, os.X_OK, effective_ids=True)), None)


def directory_refused(path: str) -> StoreRefused:
    return StoreRefused(f"{path} is a directory: name a file in it")


def _primary(error: sqlite3.Error) -> int:
    """The primary result code; 0 if the error is the driver's own."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
