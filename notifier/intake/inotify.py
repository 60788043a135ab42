"""What happens in directories, as Linux's inotify tells it: for the drop directory and for the watch files.

inotify is called directly, because the drop directory needs one distinction that libraries for changes leave out. A
file that was renamed in is complete; a file that is written in place may be half there. stat does not tell them apart:
a small file is written and renamed within one tick of the kernel's clock.

If there is no inotify (another system, or its limits are used up), a rescan finds everything some seconds later.
"""

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

import anyio
import structlog

from notifier.domain.os_errors import reason
from notifier.runtime import log_events

_log = structlog.get_logger()

MODIFY: Final = 0x2
ATTRIB: Final = 0x4
CLOSE_WRITE: Final = 0x8
MOVED_FROM: Final = 0x40
MOVED_TO: Final = 0x80
CREATE: Final = 0x100
DELETE: Final = 0x200
#: Events were lost: look at everything.
OVERFLOW: Final = 0x4000
#: The directory itself was deleted, moved, or is not watched any more.
GONE: Final = 0x400 | 0x800 | 0x8000
#: Everything that can change which files there are and what they hold.
CHANGES: Final = MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | 0x400 | 0x800
#: Not an event: watch nothing but a directory.
_ONLY_DIRECTORY: Final = 0x01000000
_HEAD: Final = struct.Struct("iIII")
#: Bytes.
_READ: Final = 256 * 1024

#: What a limit is called, and how it is raised.
_CURES: Final = {
    errno.EMFILE: "this user has no inotify instance left: raise it by `sysctl fs.inotify.max_user_instances=1024`, "
    "and find who uses them; or this process has too many files open: raise LimitNOFILE",
    errno.ENFILE: "too many files are open on this machine: raise it by `sysctl fs.file-max`",
    errno.ENOSPC: "this user has no inotify watch left: raise it by `sysctl fs.inotify.max_user_watches=524288`",
    errno.ENOMEM: "the kernel has no memory for inotify",
    errno.ENOSYS: "this system has no inotify",
}


class Event(NamedTuple):
    """One thing that happened."""

    #: Which directory, as `add` numbered it; -1 of an overflow.
    watch: int
    #: A sum of the constants above.
    mask: int
    #: In the directory; empty if it happened to the directory itself.
    name: str
    #: The two events of a rename have the same one, which no other event has; else 0.
    cookie: int


class Inotify:
    """Events of some directories, until it is closed. `OSError` if there is no inotify."""

    def __init__(self) -> None:
        if not sys.platform.startswith("linux"):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise _error()

    def close(self) -> None:
        anyio.notify_closing(self._fd)
        os.close(self._fd)

    def add(self, directory: str | int, events: int = CHANGES) -> int:
        """Watch a directory; the number that its events carry. One that is watched already keeps its number.

        `directory` is a path, whose links are followed, or an open descriptor: a path could lead elsewhere by now.
        """
        path = f"/proc/self/fd/{directory}" if isinstance(directory, int) else directory
        watch: int = self._libc.inotify_add_watch(self._fd, os.fsencode(path), events | _ONLY_DIRECTORY)
        if watch < 0:
            raise _error()
        return watch

    async def events(self) -> list[Event]:
        """What happened since the last call, in order; waits for at least one."""
        while True:
            await anyio.wait_readable(self._fd)
            try:
                return list(_events(os.read(self._fd, _READ)))
            except BlockingIOError:
                continue


def _error() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))


def _events(raw: bytes) -> Iterator[Event]:
    at = 0
    while at < len(raw):
        watch, mask, cookie, length = _HEAD.unpack_from(raw, at)
        at += _HEAD.size
        yield Event(watch, mask, os.fsdecode(raw[at : at + length].rstrip(b"\0")), cookie)
        at += length


def log_unavailable(source: str, error: OSError) -> None:
    """Log that `source` (`drop` or `watch_files`) learns of changes by its rescan only, why, and how that is mended."""
    note = "changes are found by the rescan only, some seconds later"
    _log.warning(log_events.INOTIFY_UNAVAILABLE, source=source, why=why(error), note=note)


def why(error: OSError) -> str:
    """Why inotify cannot be used, in words that say what to do."""
    return _CURES.get(error.errno or 0) or reason(error)
