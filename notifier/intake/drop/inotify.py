"""What happens in one directory, by Linux's inotify, with the distinction that matters there: renamed in or not.

A file that was renamed in is complete, one that is written in place may be half there, and stat does not tell which (a
small file is written and renamed within one tick of the kernel's clock). watchfiles reports both as "added"; so this
reads inotify itself. Where it cannot be had (another system, its limits used up) a rescan finds everything later.
"""

import ctypes
import errno
import os
import re
import struct
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

import anyio

MODIFY: Final = 0x2
ATTRIB: Final = 0x4
CLOSE_WRITE: Final = 0x8
MOVED_FROM: Final = 0x40
MOVED_TO: Final = 0x80
CREATE: Final = 0x100
#: Events were lost: look at everything.
OVERFLOW: Final = 0x4000
#: The directory itself is gone or elsewhere.
GONE: Final = 0x400 | 0x800 | 0x8000
_WANTED: Final = MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | 0x400 | 0x800
_HEAD: Final = struct.Struct("iIII")
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
#: How watchfiles names the system's error.
_CODE: Final = re.compile(r"os error (\d+)")


def why(error: Exception) -> str:
    """Why nobody tells of changes, in words that say what to do: `error` is ours, or one of watchfiles'."""
    code = error.errno if isinstance(error, OSError) else None
    if code is None and (written := _CODE.search(str(error))):
        code = int(written[1])
    if not code:
        return "the system does not tell of changes here"
    return _CURES.get(code) or os.strerror(code).lower()


class Inotify:
    """Events of one directory. `OSError` where there is no inotify."""

    def __init__(self, directory: int, wanted: int = _WANTED) -> None:
        """`directory` is an open descriptor: a name could lead elsewhere by now. `wanted` is a sum of events."""
        if not sys.platform.startswith("linux"):
            raise OSError(errno.ENOSYS, "inotify is Linux's")
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        if libc.inotify_add_watch(self._fd, f"/proc/self/fd/{directory}".encode(), wanted) < 0:
            code = ctypes.get_errno()
            os.close(self._fd)
            raise OSError(code, "inotify_add_watch")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        anyio.notify_closing(self._fd)
        os.close(self._fd)

    async def events(self) -> list[tuple[int, str, int]]:
        """(mask, name, cookie) of what happened since the last call, in order; waits for at least one.

        The two events of a rename have the same cookie, which no other has.
        """
        while True:
            await anyio.wait_readable(self._fd)
            try:
                return list(_events(os.read(self._fd, _READ)))
            except BlockingIOError:
                continue


def _events(raw: bytes) -> Iterator[tuple[int, str, int]]:
    at = 0
    while at < len(raw):
        _, mask, cookie, length = _HEAD.unpack_from(raw, at)
        at += _HEAD.size
        yield mask, os.fsdecode(raw[at : at + length].rstrip(b"\0")), cookie
        at += length
