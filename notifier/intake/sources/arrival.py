"""One name in the drop directory: is it complete, may it be read, what does it hold. Blocking; runs in a worker thread.

When a file is complete: renamed in, or JSON that parses: at once. YAML and `.txt` written in place (most truncated YAML
lists still parse): once it stood still for `SETTLE`. JSON that does not parse, and anything that is to be refused for
what it is, is judged then too. A file is only ever refused with its reason; one that may not be read stays.

A file tells since when it lies there as it is (its ctime, which a rename sets and its sender cannot): one that was
registered already, before a crash kept it from being moved, must not ask for a watch that has ended meanwhile again.
Debt: that is the file system's clock. On a server's that is slow, a file dropped anew within so long is not heard.
"""

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Final

from notifier.clock import from_micros
from notifier.errors import Fault, InvalidWatch
from notifier.intake.request import MAX_BYTES, SUFFIXES, Known, Unreadable, parse_drop, suffix_of
from notifier.intake.sources.spool import Key, Spool, key_of
from notifier.intake.text import printable
from notifier.model import WatchRequest

#: Seconds without change after which a file written in place is taken for complete.
SETTLE: Final = 1.0


@dataclass(slots=True, kw_only=True)
class Waiting:
    """A name that was noticed and is not dealt with yet."""

    #: True since it was renamed in, until it changes.
    renamed: bool = False
    #: What it was at the last look; None before the first.
    key: Key | None = None
    #: When, by the monotonic clock, it was first seen as it is.
    since: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A complete file. `fd` stays open until after the move; None where it could not be opened (a link, a device)."""

    name: str
    fd: int | None
    key: Key
    size: int = 0
    requests: tuple[WatchRequest, ...] = ()
    #: Why it is refused; empty where it is not.
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotYet:
    """Look again once it has settled, or changes."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """Nothing of that name is for us."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """It may not be read. `hint` says what helps."""

    name: str
    inode: int
    hint: str


Sighting = Taken | NotYet | Gone | Closed


def look(spool: Spool, name: str, waiting: Waiting, known: Known, *, now: float, settle: float) -> Sighting:
    """What there is to do about `name`; `waiting` is brought up to date. `now` is monotonic, `settle` in seconds."""
    found = None
    try:
        found = spool.stat(name)
        if found is None or stat.S_ISDIR(found.st_mode):
            return Gone(name=name)
        return _look(spool, name, found, waiting, known, now=now, settle=settle)
    except FileNotFoundError:
        return Gone(name=name)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # another thing than a moment ago: the next look tells what
            return NotYet(name=name)
        denied = found is not None and isinstance(error, PermissionError)
        hint = _hint(spool, name, found) if denied and found else f"it cannot be read: {error.strerror}"
        return Closed(name=name, inode=found.st_ino if found else 0, hint=hint)


def _look(
    spool: Spool, name: str, found: os.stat_result, waiting: Waiting, known: Known, *, now: float, settle: float
) -> Sighting:
    settled = _settled(waiting, key_of(found), now=now, settle=settle)
    why = _not_a_file(name, found)
    if why:
        return (
            Taken(name=name, fd=None, key=key_of(found), faults=(Fault(message=why),)) if settled else NotYet(name=name)
        )
    if not settled and suffix_of(name) != ".json":
        return NotYet(name=name)
    fd = spool.open(name)
    return _keep_open(fd, lambda: _read(fd, name, waiting, known, settled=settled))


def _settled(waiting: Waiting, key: Key, *, now: float, settle: float) -> bool:
    if waiting.key != key:
        waiting.renamed = waiting.renamed and waiting.key is None
        waiting.key, waiting.since = key, now
    return waiting.renamed or now - waiting.since >= settle


def _not_a_file(name: str, found: os.stat_result) -> str | None:
    if stat.S_ISLNK(found.st_mode):
        return "This is a symbolic link, which is not followed; put the file itself here."
    if not stat.S_ISREG(found.st_mode):
        return "This is not a regular file."
    if found.st_nlink != 1:
        return "This file has other names (hard links); put a copy here."
    if suffix_of(name) is None:
        return f"What kind of file is this? Its name must end in {', '.join(SUFFIXES)}."
    return None


def _hint(spool: Spool, name: str, found: os.stat_result) -> str:
    path = printable(quote(str(Path(spool.directory) / name)), 500)
    ours = found.st_gid == os.fstat(spool.fd).st_gid
    return f"chmod g+r {path}" if ours else f"chgrp --reference={quote(spool.directory)} {path} && chmod g+r {path}"


def _keep_open(fd: int, read: Callable[[], Sighting]) -> Sighting:
    """`read`'s answer; `fd` stays open only where it is a Taken."""
    sighting: Sighting | None = None
    try:
        sighting = read()
    finally:
        if not isinstance(sighting, Taken):
            os.close(fd)
    return sighting


def _read(fd: int, name: str, waiting: Waiting, known: Known, *, settled: bool) -> Sighting:
    before = os.fstat(fd)
    key = key_of(before)
    if key != waiting.key or not stat.S_ISREG(before.st_mode) or before.st_nlink != 1:
        return NotYet(name=name)  # another file than a moment ago
    if not settled and not _ends_like_json(fd, before.st_size):
        return NotYet(name=name)
    try:
        body = _bytes_of(fd, before.st_size)
        if key_of(os.fstat(fd)) != key:
            return NotYet(name=name)
        put_at = from_micros(before.st_ctime_ns // 1_000)
        requests = tuple(replace(request, put_at=put_at) for request in parse_drop(name, body, known))
    except InvalidWatch as error:
        incomplete = isinstance(error, Unreadable) or before.st_size > MAX_BYTES
        if incomplete and not settled:
            return NotYet(name=name)
        return Taken(name=name, fd=fd, key=key, size=before.st_size, faults=error.faults)
    return Taken(name=name, fd=fd, key=key, size=before.st_size, requests=requests)


def _ends_like_json(fd: int, size: int) -> bool:
    """Saves reading and parsing a large file at every write to it."""
    return os.pread(fd, 64, max(size - 64, 0)).rstrip().endswith((b"}", b"]"))


def _bytes_of(fd: int, size: int) -> bytes:
    """The whole file of `size` bytes, or one byte more than is allowed. That it grew meanwhile, its key tells."""
    parts: list[bytes] = []
    left = min(size, MAX_BYTES + 1)
    while left > 0 and (part := os.read(fd, min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
