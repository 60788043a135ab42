"""The locks that let one daemon at a time use a store.

One is on the store's file itself, whatever name it was opened by: on a byte that SQLite does not use, and owned by the
open descriptor (`F_OFD_SETLK`, fcntl(2)), so SQLite's own locks, which belong to the process, neither conflict with it
nor end it. The other is `flock` on `<path>.lock`, which holds the owner's pid as text: it says who has the store, and
keeps out a notifier that does not know the first lock. Without the first kind (not on Linux) it is the only one.

The kernel gives the locks back when the process dies, however it dies; a lock file that was left behind means nothing.
It is never removed: a second daemon could hold the removed one while a third makes another.

The descriptor of the store's file is opened before SQLite's and closed after it: closing any descriptor of a file ends
the locks that SQLite has on it.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Final

from notifier.domain.errors import StoreRefused
from notifier.store.sqlite import errors

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
#: The byte that is locked: "ntfr". SQLite locks some at 2**30 ("The Lock Byte Page" of its documentation).
_BYTE: Final = 0x6E746672
#: struct flock: type, whence, start, length, pid.
_FLOCK: Final = "hhqqi0q"
_KNOWN: Final = hasattr(fcntl, "F_OFD_SETLK")


@contextmanager
def owned(path: str) -> Iterator[int]:
    """Hold the store at `path` for this process; the open file. StoreRefused if another process does, or it cannot be.

    The file is made if there is none.
    """
    with _opened(f"{path}.lock", path) as named, _opened(path, path) as store:
        try:
            fcntl.flock(named, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreRefused(_in_use(path, named.read(32))) from None
        try:
            _lock_byte(store.fileno())
        except (BlockingIOError, PermissionError):
            raise StoreRefused(_in_use(path, b"")) from None
        os.fchmod(named.fileno(), 0o600)
        named.truncate(0)
        named.write(f"{os.getpid()}\n".encode())
        yield store.fileno()


def held(path: str) -> bool:
    """Whether a daemon has the store at `path` now. Asked beside it, by a process that has no connection to it yet."""
    if not _KNOWN:
        return False
    try:
        with Path(path).open("rb", buffering=0) as store:
            found = fcntl.fcntl(store, fcntl.F_OFD_GETLK, _byte_lock())
    except OSError:
        return False
    return bool(struct.unpack(_FLOCK, found)[0] != fcntl.F_UNLCK)


def _opened(name: str, store: str) -> FileIO:
    try:
        return os.fdopen(os.open(name, _FLAGS, 0o600), "r+b", buffering=0)
    except OSError as error:
        raise errors.not_opened(name, store, error) from error


def _lock_byte(store: int) -> None:
    """BlockingIOError if another descriptor has it."""
    if not _KNOWN:
        return
    try:
        fcntl.fcntl(store, fcntl.F_OFD_SETLK, _byte_lock())
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP}:  # this file system has no such locks
            raise


def _byte_lock() -> bytes:
    return struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _BYTE, 1, 0)


def _in_use(path: str, owner: bytes) -> str:
    pid = owner.decode(errors="replace").strip()
    who = f"pid {pid}" if pid.isdecimal() else f"its pid is not known: find it with `fuser {path}`"
    return f"store {path} is in use by another notifier ({who}): stop that one, or give this one another store"
