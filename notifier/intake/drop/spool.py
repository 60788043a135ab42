"""The drop directory as files: every operation by descriptor, none of them trusting what other users put there.

Other users write here, so a name may become another file between two calls. Hence: the directory and its two
subdirectories are held open; a file is opened with O_NOFOLLOW|O_NONBLOCK, must be regular with one link, and stays open
until after its move, when a second look shows whether that very file was moved and is as it was read; nothing is ever
moved over another file.

Moves are renameat2(RENAME_NOREPLACE): atomic, so a crash leaves the file in one place. link+unlink would not do: the
kernel's `protected_hardlinks` forbids linking files of others that we may read but not write. If the file system
cannot do it, an empty file made with O_EXCL holds the name and is renamed over. Blocking: callers use a worker thread.
"""

import ctypes
import errno
import fcntl
import os
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from notifier.intake.drop.safe_open import (
    DONE,
    REJECTED,
    SUBDIRECTORIES,
    open_directory,
    open_subdirectory,
    unusable,
)
from notifier.intake.file_names import ignored

#: How long accepted files are kept.
KEEP_DONE: Final = timedelta(days=7)
ERROR: Final = ".error"
_STAMP: Final = "%Y%m%dT%H%M%S.%fZ"
#: A name that `_targets` made; others are not ours to delete. Stamps as text are in the order of their times.
_STAMPED: Final = re.compile(r"([0-9]{8}T[0-9]{6}\.[0-9]{6}Z)[-.]")
#: Bytes of a file's name at most, and what a stamp, a number and `.error` need of it.
_NAME_MAX: Final = 255
_NAME_ROOM: Final = 48
_OPEN_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NOREPLACE: Final = 1

#: What changes when a file changes: inode, size, mtime, ctime (the last three in bytes and nanoseconds).
Key = tuple[int, int, int, int]


def key_of(found: os.stat_result) -> Key:
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Where a file went."""

    #: E.g. `done/20261122T051400.123456Z-a.json`.
    to: str
    #: False if it was no longer the file that was read, and it was put back.
    same: bool


class Spool:
    """The open drop directory. `ConfigError` if it must not be used."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.fd = open_directory(directory)
        self._subdirectories: dict[str, int] = {}
        try:
            for name in SUBDIRECTORIES:
                self._subdirectories[name] = open_subdirectory(self.fd, name, directory)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for fd in (*self._subdirectories.values(), self.fd):
            os.close(fd)
        self._subdirectories = {}

    def current(self) -> bool:
        """Whether the three names still lead to these directories, and they may be used."""
        try:
            if not os.path.samestat(Path(self.directory).lstat(), os.fstat(self.fd)):
                return False
            for name, fd in self._subdirectories.items():
                there = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
                if not os.path.samestat(there, os.fstat(fd)) or unusable(fd, name):
                    return False
            return unusable(self.fd, self.directory) is None
        except OSError:
            return False

    def below(self, name: str) -> int:
        """The descriptor of done/ or rejected/."""
        return self._subdirectories[name]

    def names(self) -> list[str]:
        """What lies in it, without what is ignored and without directories."""
        with os.scandir(self.fd) as entries:
            return [e.name for e in entries if not ignored(e.name) and not e.is_dir(follow_symlinks=False)]

    def stat(self, name: str) -> os.stat_result | None:
        """Of the name itself, not of what a link leads to; None if it is gone."""
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def open(self, name: str) -> int:
        return os.open(name, _OPEN_FILE, dir_fd=self.fd)

    # ---- moves
    def move(self, name: str, fd: int | None, key: Key, why: str = "", *, now: datetime, held: bool = False) -> Moved:
        """Move a file that was read as `key` through `fd` to done/. `held`: that it has a writer is known.

        With `why` to rejected/, with `why` in an .error file beside it, which is written first.
        """
        where = REJECTED if why else DONE
        there = self._subdirectories[where]
        for target in _targets(name, now):
            try:
                if why:
                    _write_new(there, target + ERROR, why)
            except FileExistsError:
                continue
            try:
                _rename(self.fd, name, there, target)
            except OSError as error:
                if why:
                    os.unlink(target + ERROR, dir_fd=there)
                if isinstance(error, FileExistsError):
                    continue
                raise
            moved = self._look_again(name, where, target, fd, key, held=held)
            if why and not moved.same:
                os.unlink(target + ERROR, dir_fd=there)
            return moved
        raise FileExistsError(errno.EEXIST, "every name for it is taken", name)

    def _look_again(self, name: str, where: str, target: str, fd: int | None, key: Key, *, held: bool) -> Moved:
        """Whether what was moved is what was read, unchanged, and nobody writes to it now; if not, put it back.

        A move itself changes ctime only.
        """
        there = self._subdirectories[where]
        moved = os.stat(target, dir_fd=there, follow_symlinks=False)
        read = moved if fd is None else os.fstat(fd)
        unchanged = key_of(read)[:3] == key[:3] and moved.st_ino == read.st_ino
        if unchanged and (held or fd is None or not has_writer(fd)):
            return Moved(to=f"{where}/{target}", same=True)
        for back in (name, *(f"{number}-{name}" for number in range(1, 100))):
            with suppress(FileExistsError):
                _rename(there, target, self.fd, back)
                return Moved(to=back, same=False)
        return Moved(to=f"{where}/{target}", same=False)

    # ---- upkeep
    def prune(self, *, now: datetime) -> int:
        """Delete what was moved to done/ more than `KEEP_DONE` ago; how many."""
        done, gone = self._subdirectories[DONE], 0
        oldest = _stamp(now - KEEP_DONE)
        for name in os.listdir(done):  # noqa: PTH208  pathlib knows no descriptors
            stamped = _STAMPED.match(name)
            if stamped and stamped[1] < oldest:
                with suppress(OSError):  # a directory of that name, or gone already
                    os.unlink(name, dir_fd=done)
                    gone += 1
        return gone

    def count(self, where: str) -> int:
        """Files in done/ or rejected/, the .error files not counted."""
        names = os.listdir(self._subdirectories[where])  # noqa: PTH208  as above
        return sum(not name.endswith(ERROR) for name in names)


# ---- names --------------------------------------------------------------------------------------------------------
def _targets(name: str, now: datetime) -> Iterator[str]:
    """`<UTC time>-<name>`, then with numbers; a name too long for that is cut, its suffix kept."""
    raw = os.fsencode(name)
    room = _NAME_MAX - _NAME_ROOM
    if len(raw) > room:
        suffix = raw[-8:]
        name = os.fsdecode(raw[: room - 9] + b"~" + suffix)
    stamp = _stamp(now)
    yield f"{stamp}-{name}"
    for number in range(2, 1_000):
        yield f"{stamp}.{number}-{name}"


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime(_STAMP)


def _write_new(directory: int, name: str, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, 0o640, dir_fd=directory)
    try:
        with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:  # a full disk: each try would leave another half of one
        os.unlink(name, dir_fd=directory)
        raise


# ---- writers -------------------------------------------------------------------------------------------------------
def has_writer(fd: int) -> bool | None:
    """True if somebody has the open file `fd` open for writing; None if that cannot be known. Takes microseconds.

    The kernel is asked by a lease. It grants a read lease only on a file that nobody has open for writing, or mapped
    into memory for it: exactly the question, with an answer for every writer on this machine. A lease may be asked for
    on files of our own user, or with CAP_LEASE; for another user's file nobody says, and the events of the directory
    have to do. On a network file system the answer may be "yes" though nobody writes. `/proc/locks` and `/proc/*/fd`
    would add nothing: few writers lock, the service sees neither (ProcSubset=pid), and other users' descriptors are
    hidden anyway.

    A writer that opens the file in between makes the kernel send a signal, whose usual one would end the process. It is
    SIGURG here, which is ignored unless somebody asks for it. The writer waits until the lease is given back, at once.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


# ---- rename without replacing -------------------------------------------------------------------------------------
_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
_UNSUPPORTED: Final[Sequence[int]] = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def _rename(source: int, name: str, target: int, new: str) -> None:
    """Move `name` in one directory to `new` in another. `FileExistsError` if that is taken."""
    if _renameat2 is not None:
        if _renameat2(source, os.fsencode(name), target, os.fsencode(new), _NOREPLACE) == 0:
            return
        code = ctypes.get_errno()
        if code not in _UNSUPPORTED:
            raise OSError(code, os.strerror(code), name)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=target))
    try:
        os.rename(name, new, src_dir_fd=source, dst_dir_fd=target)
    except OSError:
        os.unlink(new, dir_fd=target)
        raise
