"""The files of a store that is open: whether their names still belong to the files that SQLite has open.

SQLite keeps its files open and writes on, whatever becomes of their names. What it writes into a file without a name,
or into a log that was cut short, no start would find. So the names are checked before and after each commit: a few
`stat` calls and reads of some bytes, 25 microseconds beside a commit's 300 and more.

How much of the log is in use, and whether somebody moves it into the main file, is read from its index (`-shm`, "The
WAL-Index File Format" of SQLite's documentation). Nothing else writes into the main file of a store that is open: if it
changed and the log was not moved, somebody copied another file over it.

Rule: a file of the set that this process has opened is not closed before SQLite's own connections are. Closing any
descriptor of a file drops all POSIX locks that the process holds on it, and these are SQLite's.
"""

import os
import struct
import zlib
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final

from notifier.domain.errors import StoreUnavailable

#: A file's device and inode.
Identity = tuple[int, int]

_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
#: Of the index: two equal copies of its header, then how many frames were moved into the main file. How many of them
#: somebody began to move is further behind.
_HEADER: Final = 48
_BEGUN: Final = 2 * _HEADER + 32
_INDEX: Final = _BEGUN + 4
#: Bytes of the main file's beginning and of its end by which it is known again.
_KNOWN_BY: Final = 65_536
#: Bytes of the log's own header, and of each frame's.
_LOG_HEADER, _FRAME_HEADER = 32, 24


class Damage(Enum):
    """What became of the set, by what can be done."""

    #: The main file is not there: it is waited for.
    GONE = auto()
    #: The log or its index has lost its name. The descriptors that are open still reach what it holds.
    UNNAMED = auto()
    #: A file was cut short. What it held is lost.
    CUT = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """What is wrong with the files, and the sentence for the operator."""

    damage: Damage
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    """What the log's index says."""

    page: int
    #: Frames in the log, how many of them the main file has, and how many were to be moved there.
    frames: int
    moved: int
    begun: int
    #: Stands in the log's header too.
    salt: bytes

    @property
    def log_bytes(self) -> int:
        """The log is at least this long while it holds what the main file does not have."""
        return 0 if self.frames <= self.moved else _LOG_HEADER + self.frames * (self.page + _FRAME_HEADER)


def identity(path: str) -> Identity | None:
    """Which file has the name `path` now; None if there is none, or nobody can look."""
    try:
        found = os.stat(path)  # noqa: PTH116  twice as fast as a Path's, and asked around each commit
    except OSError:
        return None
    return found.st_dev, found.st_ino


class MainFile:
    """The main file under its names: `path` is the real one, `named` what the configuration says."""

    def __init__(self, path: str, named: str) -> None:
        self.path = path
        self._names = tuple(dict.fromkeys((path, named)))
        self._wanted = identity(path)

    def lost(self) -> Lost | None:
        """None if the file is where the next start would look for it."""
        for name in self._names:
            if (found := identity(name)) != self._wanted:
                what = "was removed" if found is None else "was replaced by another file"
                advice = "put it back, or stop notifier and start it on the other"
                return Lost(damage=Damage.GONE, sentence=f"store {name}: the file {what} while it is in use: {advice}")
        return None


class OpenFiles:
    """The whole set, as it is at this moment; made while a connection is open that has used it."""

    def __init__(self, main: MainFile) -> None:
        self._main = main
        self.log, self.index = f"{main.path}-wal", f"{main.path}-shm"
        self._companions = {name: identity(name) for name in (self.log, self.index)}
        self._file_read, self._log_read, self._index_read = map(_opened, (main.path, self.log, self.index))
        #: How far the log was moved when the main file was last known again: its salt, and frames.
        self._moved: tuple[bytes, int] | None = None
        #: Size and time of the last change at that moment, and a sum of its content.
        self._stamp: tuple[int, int] | None = None
        self._sum = 0

    def close(self) -> None:
        """After the last connection of the process to this store."""
        for file in (self._file_read, self._log_read, self._index_read):
            if file is not None:
                os.close(file)
        self._file_read = self._log_read = self._index_read = None

    def lost(self) -> Lost | None:
        """None if every file is where it was, and is the same."""
        if gone := self._main.lost():
            return gone
        for name, wanted in self._companions.items():
            found = identity(name)
            if found is None or found != wanted:
                return self._unnamed(name, replaced=found is not None)
        return self._cut()

    def strangers(self) -> list[str]:
        """Names of the log and its index that another file has now."""
        return [name for name, wanted in self._companions.items() if (found := identity(name)) and found != wanted]

    def _unnamed(self, name: str, *, replaced: bool) -> Lost:
        what = "was replaced by another file" if replaced else "was removed"
        advice = "leave the files beside the store alone; what was in it is saved from memory, if that still works"
        sentence = f"store {self._main.path}: {Path(name).name} {what} while it is in use: {advice}"
        return Lost(damage=Damage.UNNAMED, sentence=sentence)

    def _cut(self) -> Lost | None:
        """Numbers that move meanwhile are read again, until they fit or do not move."""
        before: _Index | None = None
        while (index := self._read_index()) != before:
            if index is None or self._whole(index):
                return None
            before = index
        if before is None:
            return None
        file, log = Path(self._main.path).name, Path(self.log).name
        if self._log_whole(before):
            what, advice = file, f"stop notifier, remove {file}, {log} and {file}-shm, and put a backup in their place"
        else:
            what, advice = (
                log,
                "stop notifier, look with `notifier check --deep` whether the store is sound, and start it",
            )
        return Lost(
            damage=Damage.CUT,
            sentence=f"store {self._main.path}: {what} was cut short or written over by another program while it is"
            f" in use, and what it held is lost: {advice}",
        )

    def _whole(self, index: _Index) -> bool:
        return self._file_whole(index) and self._log_whole(index)

    def _file_whole(self, index: _Index) -> bool:
        """Whether nobody but SQLite has written into it. A changed time alone (`touch`) is no harm."""
        if self._file_read is None or index.begun != index.moved:
            return True  # somebody moves the log at this moment
        found, moved = os.fstat(self._file_read), (index.salt, index.moved)
        stamp = (found.st_size, found.st_mtime_ns)
        if (moved, stamp) == (self._moved, self._stamp):
            return True
        content = _sum(self._file_read, found.st_size)
        if moved == self._moved and content != self._sum:
            return False
        self._moved, self._stamp, self._sum = moved, stamp, content
        return True

    def _log_whole(self, index: _Index) -> bool:
        if not index.log_bytes:
            return True
        if self._log_read is not None and os.pread(self._log_read, 8, 16) != index.salt:
            return False
        found = size(self.log)
        return found is None or found >= index.log_bytes

    def _read_index(self) -> _Index | None:
        """None if it cannot be read, or is written at this moment."""
        if self._index_read is None:
            return None
        try:
            content = os.pread(self._index_read, _INDEX, 0)
        except OSError:
            return None
        if len(content) < _INDEX or content[:_HEADER] != content[_HEADER : 2 * _HEADER] or not content[12]:
            return None
        (page,) = struct.unpack_from("=H", content, 14)
        (frames,) = struct.unpack_from("=I", content, 16)
        (moved,) = struct.unpack_from("=I", content, 2 * _HEADER)
        (begun,) = struct.unpack_from("=I", content, _BEGUN)
        page = 65_536 if page == 1 else page
        return _Index(page=page, frames=frames, moved=moved, begun=begun, salt=content[32:40])


def _sum(file: int, size: int) -> int:
    """Of the file's beginning and end, and of its size."""
    begin = zlib.crc32(os.pread(file, _KNOWN_BY, 0), size & 0xFFFFFFFF)
    return zlib.crc32(os.pread(file, _KNOWN_BY, max(0, size - _KNOWN_BY)), begin)


def _opened(name: str) -> int | None:
    """None if it has no name: `lost` says so."""
    try:
        return os.open(name, _READ)
    except OSError:
        return None


def size(name: str) -> int | None:
    """Bytes; None if there is no such file, or nobody can look."""
    try:
        return os.stat(name).st_size  # noqa: PTH116  as in `identity`
    except OSError:
        return None


def set_aside(name: str) -> str | None:
    """Take a file that is not ours out of SQLite's way; its new name. An empty one is removed."""
    found = Path(name).stat()
    if found.st_size == 0:
        Path(name).unlink()
        return None
    aside = f"{name}.aside-{found.st_ino}"
    Path(name).rename(aside)
    return aside


def check(lost: Lost | None) -> None:
    """StoreUnavailable with the sentence, if something is lost."""
    if lost is not None:
        raise StoreUnavailable(lost.sentence)
