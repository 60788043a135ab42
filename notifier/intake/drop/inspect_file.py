"""One name in the drop directory: is it complete, may it be read, what does it hold. Blocking; for a worker thread.

Half an ID must never be watched as if it were whole. So a file is taken once its writer has closed it: whether somebody
still has it open is asked of the kernel, for files of ours, and else known from the directory's events (`Writer`).

- Renamed in, and nobody writes to it: at once.
- Closed: JSON that parses at once; other kinds, of which most half ones can be read too, after `SETTLE` without change.
- Nobody can say (another user's file that lay there at the start): after 10 times that; JSON that parses after once.
- Kept open: after 60 times that without change, because a writer may keep it open for ever. If its last line has no
  end it is refused then. What is written to it later is not read, but logged.

A writer that opens the file between two inspections is found by the look after the move. JSON that does not parse, and
anything that is to be refused for what it is, is judged once it did not change and was closed; an empty file after 10
times that. A file is only ever refused with its reason; one that may not be read stays.

A file shows since when it lies there as it is (its ctime, which a rename sets and its sender cannot): one that was
registered already, before a crash kept it from being moved, must not register a watch again that has ended meanwhile.
Debt: that is the file system's clock. If a server's clock is slow by some time, a file that is dropped anew within that
time is taken for the old one.
"""

import errno
import os
import stat
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from shlex import quote
from typing import Final

from notifier.domain.errors import Fault, InvalidWatch
from notifier.domain.model import WatchRequest
from notifier.domain.os_errors import reason
from notifier.domain.times import from_micros
from notifier.intake.drop.spool import Key, Spool, has_writer, key_of
from notifier.intake.entry import Known
from notifier.intake.parse import MAX_BYTES, UNKNOWN_KIND, Unparsable, parse_drop, suffix_of
from notifier.text.printable import printable
from notifier.text.reader import FileTooLarge, FileUnreadable, read_regular_file

#: Seconds without change after which a file written in place, and closed, is taken for complete.
SETTLE: Final = 1.0
#: So many times that, if nobody can say whether it was closed, and if it is empty.
_UNSURE: Final = 10
#: And if its writer keeps it open.
_KEPT_OPEN: Final = 60
_NO_END: Final = (
    "A program keeps this file open for writing, and its last line has no end: it may be half an ID. Close the file "
    "when it is whole, or write it as x.tmp and rename it."
)


class Writer(Enum):
    """What is known of whoever wrote a file."""

    OPEN = "open"
    CLOSED = "closed"
    UNKNOWN = "unknown"


@dataclass(slots=True, kw_only=True)
class Waiting:
    """A name that was noticed and is not dealt with yet."""

    #: True since it was renamed in, until it changes.
    renamed: bool = False
    #: True since it was made here, until it is closed: its maker has it open, as long as it is empty.
    made: bool = False
    #: By the events so far: True if it was written to and not closed since, False if closed; None without any.
    written: bool | None = None
    #: What it was at the last inspection; None before the first.
    key: Key | None = None
    #: When, by the monotonic clock, it was first seen as it is, or was closed if that was later.
    since: float = 0.0
    #: When to inspect it again if nothing happens.
    due_at: float = 0.0

    def due_in(self, now: float) -> float:
        """Seconds."""
        return 0.0 if self.key is None else self.due_at - now


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """A complete file. `fd` stays open until after the move; None if it could not be opened (a link, a device)."""

    name: str
    fd: int | None
    key: Key
    size: int = 0
    requests: tuple[WatchRequest, ...] = ()
    #: Why it is refused; empty if it is not.
    faults: tuple[Fault, ...] = ()
    #: True if its writer still has it open.
    held: bool = False


class Nothing(Enum):
    """There is nothing to read."""

    #: Inspect it again once it has settled, or changes.
    INCOMPLETE = "incomplete"
    #: Nothing of that name is for us.
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Large:
    """It is complete, and so large that it has to wait for its turn."""

    size: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """It may not be read. `hint` says what helps."""

    inode: int
    hint: str


@dataclass(frozen=True, slots=True)
class NoDescriptor:
    """It cannot be opened for want of descriptors, which says nothing of the file: inspect it again."""

    why: str


Finding = Complete | Nothing | Large | Unreadable | NoDescriptor


def inspect_file(
    spool: Spool,
    name: str,
    waiting: Waiting,
    known: Known,
    *,
    now: float,
    settle: float,
    most: int | None = None,
) -> Finding:
    """What there is to do about `name`; `waiting` is brought up to date. `now` is monotonic, `settle` in seconds.

    With `most`, a file of more bytes is not read now.
    """
    found = None
    try:
        found = spool.stat(name)
        if found is None or stat.S_ISDIR(found.st_mode):
            return Nothing.GONE
        if waiting.key != (key := key_of(found)):
            waiting.renamed = waiting.renamed and waiting.key is None
            waiting.key, waiting.since = key, now
        still = (now - waiting.since) / settle
        waiting.due_at = now + settle * (1 - still if still < 1 else max(1, still / 4))
        return _inspect(spool, name, found, waiting, known, still=still, most=most)
    except FileNotFoundError:
        return Nothing.GONE
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # another thing than a moment ago: the next time shows what
            return Nothing.INCOMPLETE
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return NoDescriptor(f"its files cannot be read: {reason(error)}")
        hint = f"it cannot be read: {reason(error)}"
        if found and isinstance(error, PermissionError):
            hint = _command(spool, name, found)
        return Unreadable(found.st_ino if found else 0, hint)


def _command(spool: Spool, name: str, found: os.stat_result) -> str:
    """What lets us read it."""
    path = printable(quote(str(Path(spool.directory) / name)), 500)
    ours = found.st_gid == os.fstat(spool.fd).st_gid
    return f"chmod g+r {path}" if ours else f"chgrp --reference={quote(spool.directory)} {path} && chmod g+r {path}"


def _inspect(
    spool: Spool, name: str, found: os.stat_result, waiting: Waiting, known: Known, *, still: float, most: int | None
) -> Finding:
    """`still` is for how long nothing changed, in settling times."""
    writer = _writer(None, waiting, found.st_size)
    if writer is Writer.OPEN and still < 1:  # a large file is not opened at every write to it
        return Nothing.INCOMPLETE
    why = _not_a_file(name, found)
    if why:
        ripe = _ripe(writer, waiting, still, empty=not found.st_size) if stat.S_ISREG(found.st_mode) else still >= 1
        if not (ripe or (waiting.renamed and writer is not Writer.OPEN)):
            return Nothing.INCOMPLETE
        return Complete(name=name, fd=None, key=key_of(found), faults=(Fault(message=why),))
    if still < 1 and not waiting.renamed and suffix_of(name) != ".json":
        return Nothing.INCOMPLETE
    fd = spool.open(name)
    finding: Finding | None = None
    try:
        finding = _inspect_open(fd, name, waiting, known, still=still, most=most)
    finally:
        if not isinstance(finding, Complete):
            os.close(fd)
    return finding


def _not_a_file(name: str, found: os.stat_result) -> str | None:
    if stat.S_ISLNK(found.st_mode):
        return "This is a symbolic link, which is not followed; put the file itself here."
    if not stat.S_ISREG(found.st_mode):
        return "This is not a regular file."
    if found.st_nlink != 1:
        return "This file has other names (hard links); put a copy here."
    if suffix_of(name) is None:
        return UNKNOWN_KIND
    return None


def _inspect_open(fd: int, name: str, waiting: Waiting, known: Known, *, still: float, most: int | None) -> Finding:
    before = os.fstat(fd)
    size, key = before.st_size, key_of(before)
    if key != waiting.key or not stat.S_ISREG(before.st_mode) or before.st_nlink != 1:
        return Nothing.INCOMPLETE  # another file than a moment ago
    writer = _writer(has_writer(fd), waiting, size)
    ripe = _ripe(writer, waiting, still, empty=not size)
    if not ripe and not (_may_be_whole(name, writer, still) and _ends_like_json(fd, size)):
        return Nothing.INCOMPLETE
    if most is not None and size > most:
        return Large(size)
    complete = Complete(name=name, fd=fd, key=key, size=size, held=writer is Writer.OPEN)
    return _judge(complete, fd, known, ripe=ripe)


def _judge(complete: Complete, fd: int, known: Known, *, ripe: bool) -> Complete | Nothing:
    """What the file holds, or why it is refused. `ripe`: it is to be refused if it cannot be parsed."""
    try:
        body = read_regular_file(fd, MAX_BYTES)
    except FileTooLarge as error:
        body = error.beginning  # enough for `parse_drop` to refuse it
    except FileUnreadable as error:
        raise error.error from None
    if key_of(os.fstat(fd)) != complete.key:
        return Nothing.INCOMPLETE
    if complete.held and suffix_of(complete.name) != ".json" and not body.endswith(b"\n"):
        return replace(complete, faults=(Fault(message=_NO_END),))
    try:
        put_at = from_micros(complete.key[3] // 1_000)
        requests = tuple(replace(request, put_at=put_at) for request in parse_drop(complete.name, body, known))
    except InvalidWatch as error:
        may_be_cut = isinstance(error, Unparsable) or complete.size > MAX_BYTES
        return Nothing.INCOMPLETE if may_be_cut and not ripe else replace(complete, faults=error.faults)
    return replace(complete, requests=requests)


# ---- complete or not ----------------------------------------------------------------------------------------------
def _writer(leased: bool | None, waiting: Waiting, size: int) -> Writer:  # noqa: FBT001  three answers of one question
    """`leased` is what the kernel says of a writer; None if it says nothing."""
    if leased is not None:
        return Writer.OPEN if leased else Writer.CLOSED
    if waiting.written or (waiting.made and not size):
        return Writer.OPEN
    return Writer.UNKNOWN if waiting.written is None else Writer.CLOSED


def _ripe(writer: Writer, waiting: Waiting, still: float, *, empty: bool) -> bool:
    """Whether a file is complete whatever it holds."""
    if writer is Writer.OPEN:
        return still >= _KEPT_OPEN
    if waiting.renamed and not empty:
        return True
    return still >= (_UNSURE if empty or writer is Writer.UNKNOWN else 1)


def _may_be_whole(name: str, writer: Writer, still: float) -> bool:
    """Whether it is complete if it is JSON that parses."""
    if suffix_of(name) != ".json" or writer is Writer.OPEN:
        return False
    return writer is Writer.CLOSED or still >= 1


def _ends_like_json(fd: int, size: int) -> bool:
    """Saves reading and parsing a large file at every write to it."""
    return os.pread(fd, 64, max(size - 64, 0)).rstrip().endswith((b"}", b"]"))
