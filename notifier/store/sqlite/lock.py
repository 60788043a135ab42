"""The lock that lets one daemon at a time use a store: `flock` on `<path>.lock`, which holds the owner's pid as text.

The kernel gives the lock back when the process dies, however it dies; a lock file that was left behind means nothing.
It is never removed: a second daemon could hold the removed one while a third makes another.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from notifier.errors import StoreRefused
from notifier.store.sqlite import trouble

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def owned(path: str) -> Iterator[None]:
    """Hold the store at `path` for this process. StoreRefused where another one does, or the lock cannot be made."""
    name = f"{path}.lock"
    try:
        lock = os.open(name, _FLAGS, 0o600)
    except OSError as error:
        raise trouble.refused(name, error) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreRefused(_in_use(path, os.pread(lock, 32, 0))) from None
        os.fchmod(lock, 0o600)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def _in_use(path: str, owner: bytes) -> str:
    pid = owner.decode(errors="replace").strip()
    who = f"pid {pid}" if pid.isdecimal() else "its pid is not known"
    return f"store {path} is in use by another notifier ({who}): stop that one, or give this one another store"
