"""The operator's watch files: declared watches, read again whenever a file changes.

Every file that the globs name is a list of watches, as YAML or JSON. A file with a fault is skipped whole, logged with
every fault, and makes readiness say degraded: a file dropped in must not stop the daemon. What a file declared before
stays registered; a watch that is taken out of one is not cancelled, and that is logged once. If a watch is open
already with other content, the first one stays.

A file or a directory that cannot be looked at is not an empty one: readiness says degraded, what was declared there
stays declared, and until everything can be seen again no file counts as taken away and nothing may be forgotten.

Files are read in worker threads and registered many at a time, so that thousands of them cost the event loop a few
milliseconds each time. inotify tells of changes in the directories that the globs name; the wakeup's rescan finds the
rest.
"""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

import anyio
import structlog
from anyio.abc import TaskStatus
from anyio.to_thread import run_sync

from notifier.domain.errors import Fault, InvalidWatch, StoreUnavailable
from notifier.domain.ids import WatchId
from notifier.domain.model import Registration, WatchRequest
from notifier.intake.entry import Known
from notifier.intake.parse import MAX_BYTES, parse_document, suffix_of
from notifier.intake.registrar import RegistrarPort
from notifier.intake.watch_changes import WatchChanges
from notifier.intake.watch_listing import Listing, list_files
from notifier.runtime import log_events
from notifier.runtime.switch_interval import short_turns
from notifier.runtime.wakeup import Wakeup
from notifier.text.printable import printable
from notifier.text.reader import FileRefused, FileTooLarge, FileUnreadable, read_regular_file

_log = structlog.get_logger()


#: Seconds without wakeup or event after which the files are looked at anyway.
_IDLE: Final = 300.0
#: Seconds to the next try while the store cannot write: the first, and at most.
_RETRY: Final = 1.0
_RETRY_MAX: Final = 30.0
#: Faults of one file that are logged, at most.
_LOGGED: Final = 20
#: Files, and watches taken out of them, that a pass logs by name; of more it says how many. And files in readiness.
_NAMED: Final = 20
#: Watches in the files that are read and registered together: from so many on no further file is added.
_TOGETHER: Final = 4_000
#: Bytes of those files, likewise.
_TOGETHER_BYTES: Final = 4 * 1024 * 1024

#: Device, inode, size, mtime, ctime (a chmod can make it readable): a file that has another one is read again.
_Key = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """What is known of one file."""

    #: As it was read last; None if it could not be read: then it is tried again.
    key: _Key | None = None
    #: What was configured then: other names make other watches of the same text.
    known: Known | None = None
    #: Watch -> its generation's ID, as last declared without a fault.
    declared: Mapping[WatchId, str] = field(default_factory=dict)


_NOTHING: Final = _File()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    path: str
    key: _Key | None
    requests: Sequence[WatchRequest] = ()
    faults: Sequence[Fault] = ()


@dataclass(slots=True, kw_only=True)
class _Pass:
    """What one look at all files came to; logged at its end."""

    #: Path, and how many watches are in it.
    read: list[tuple[str, int]] = field(default_factory=list)
    skipped: list[tuple[str, Sequence[Fault]]] = field(default_factory=list)
    #: Watch -> the file it was in, and its generation's ID.
    taken_out: dict[WatchId, tuple[str, str]] = field(default_factory=dict)
    #: False if the store could not write.
    available: bool = True


class WatchFiles:
    """Reads `globs`. `known` gives what is configured now; `wakeup` calls for another look."""

    def __init__(
        self, globs: Sequence[str], registrar: RegistrarPort, known: Callable[[], Known], *, wakeup: Wakeup
    ) -> None:
        self._globs = tuple(globs)
        self._registrar = registrar
        self._known = known
        self._wakeup = wakeup
        self._changes = WatchChanges()
        self._files: dict[str, _File] = {}
        #: Files whose last reading was refused, and why.
        self._faulty: dict[str, Sequence[Fault]] = {}
        #: What could not be looked at in the last pass, and why.
        self._unseen: Mapping[str, str] = {}
        #: Watch -> how many files declare it.
        self._declared_in: Counter[WatchId] = Counter()
        self._retry = 0.0
        self._unread = True

    def troubles(self) -> dict[str, str]:
        """Path -> why what it holds is not taken now. Of many, the first few, and how many more there are."""
        found = dict.fromkeys(sorted(self._faulty), "skipped for its faults, see the log") | dict(self._unseen)
        shown = dict(list(found.items())[:_NAMED])
        if len(found) > _NAMED:
            shown["watch files"] = f"{len(found) - _NAMED} more of them are not taken, see the log"
        return shown

    @property
    def incomplete(self) -> bool:
        """Whether some file's watches are not known now: unread, unseen, skipped for a fault, waiting for the store."""
        return self._unread or self._retry > 0 or bool(self._faulty) or bool(self._unseen)

    def declared(self) -> set[WatchId]:
        """Every watch that is in a file now."""
        return set(self._declared_in)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. Started once every file was read, so that readiness knows them."""
        with self._changes.opened():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._changes.run, self._wakeup.notify)
                await self.read_all()
                task_status.started()
                while True:
                    await self._wakeup.wait(self._retry or _IDLE)
                    await self.read_all()

    # ---- one pass
    async def read_all(self) -> None:
        """Read what is new or changed, and register it; a file that is gone declares nothing any more."""
        known = self._known()
        listing, due = await run_sync(self._look, known)
        self._note_unseen(listing)
        done = _Pass()
        reads = await _read_beside(due, known)
        while reads:
            del due[-len(reads) :]
            async with anyio.create_task_group() as tasks:  # the next ones are read while these are registered
                tasks.start_soon(self._take, reads, known, done)
                reads = await _read_beside(due, known)
        if not listing.unseen:
            for path in [path for path in self._files if path not in listing.files]:
                self._declare(path, self._files.pop(path).declared, {}, done)
                self._faulty.pop(path, None)
        self._log_pass(done)
        self._unread = False
        self._retry = 0.0 if done.available else min(max(self._retry * 2, _RETRY), _RETRY_MAX)

    def _look(self, known: Known) -> tuple[Listing, list[tuple[str, _Key | None]]]:
        """In a worker thread: what is there, and the files that are not as they were read last, the first one last."""
        listing = list_files(self._globs, self._changes.watch)
        due: list[tuple[str, _Key | None]] = []
        for path, found in listing.files.items():
            file, key = self._files.get(path), None if found is None else _key(found)
            if file is None or file.key != key or file.known != known:
                due.append((path, key))
        return listing, due[::-1]

    def _note_unseen(self, listing: Listing) -> None:
        """Each is logged when it comes to be so."""
        fresh = [path for path in listing.unseen if path not in self._unseen]
        for path in fresh[:_NAMED]:
            note = "what it declared before stays; no watch is forgotten until it can be seen again"
            _log.error(log_events.WATCH_FILE_SKIPPED, file=printable(path, 300), why=listing.unseen[path], note=note)
        if (more := len(fresh) - _NAMED) > 0:
            _log.error(log_events.WATCH_FILE_SKIPPED, count=more, note="so many more cannot be looked at")
        self._unseen = listing.unseen

    async def _take(self, reads: Sequence[_Read], known: Known, done: _Pass) -> None:
        """Register these files' watches; if the store cannot write now they are read again."""
        faults = {read.path: read.faults for read in reads if read.faults}
        registered = await self._register([read for read in reads if not read.faults], faults, done)
        for read in reads:
            before = self._files.get(read.path, _NOTHING)
            if (found := faults.get(read.path)) is not None:  # what it declared before stays declared
                if read.key is not None or self._faulty.get(read.path) != found:  # if it is tried again, once
                    done.skipped.append((read.path, found))
                self._faulty[read.path] = found
                self._files[read.path] = replace(before, key=read.key, known=known)
            elif (now := registered.get(read.path)) is not None:
                self._faulty.pop(read.path, None)
                self._declare(read.path, before.declared, now, done)
                self._files[read.path] = _File(key=read.key, known=known, declared=now)
                done.read.append((read.path, len(now)))

    async def _register(
        self, reads: Sequence[_Read], faults: dict[str, Sequence[Fault]], done: _Pass
    ) -> dict[str, Mapping[WatchId, str]]:
        """What each file declares now; what is refused goes to `faults`, what must wait is in neither.

        All are registered in one call, many times cheaper than one by one; if that is refused, each by itself.
        """
        asked = [(printable(read.path, 300), read.requests) for read in reads if read.requests]
        requests = [request for _, some in asked for request in some]
        origins = [name for name, some in asked for _ in some]
        answers: Sequence[Registration] = ()
        try:
            if requests:
                source = origins[0] if len(asked) == 1 else f"{origins[0]} and {len(asked) - 1} more"
                answers = await self._registrar.register(requests, source=source, keep_first=True, origins=origins)
        except InvalidWatch as error:
            registered: dict[str, Mapping[WatchId, str]] = {}
            if len(reads) == 1:
                faults[reads[0].path] = error.faults
            else:
                for read in reads:
                    registered |= await self._register([read], faults, done)
            return registered
        except StoreUnavailable as error:
            if not self._retry and done.available:
                _log.warning(log_events.STORE_UNAVAILABLE, file=origins[0], why=str(error))
            done.available = False
            return {read.path: {} for read in reads if not read.requests}
        found = iter(zip(requests, answers, strict=True))
        return {
            read.path: {each.watch_id: str(request.generation) for request, each in islice(found, len(read.requests))}
            for read in reads
        }

    def _declare(self, path: str, before: Mapping[WatchId, str], now: Mapping[WatchId, str], done: _Pass) -> None:
        """`path` declares these now."""
        self._declared_in.update(watch for watch in now if watch not in before)
        left = [watch for watch in before if watch not in now]
        self._declared_in.subtract(left)
        done.taken_out |= {watch: (path, before[watch]) for watch in left}

    def _log_pass(self, done: _Pass) -> None:
        """A line for each thing of a kind, if these are a few; of more, how many there are."""
        for path, faults in done.skipped[:_NAMED]:
            shown = [str(fault) for fault in faults[:_LOGGED]]
            _log.error(log_events.WATCH_FILE_SKIPPED, file=printable(path, 300), count=len(faults), faults=shown)
        if (more := len(done.skipped) - _NAMED) > 0:
            _log.error(log_events.WATCH_FILE_SKIPPED, files=more, note="so many more files have faults")
        log = _log.info if len(done.read) <= _NAMED else _log.debug
        for path, watches in done.read:
            log(log_events.WATCH_FILE_READ, file=printable(path, 300), watches=watches)
        if len(done.read) > _NAMED:
            watches = sum(watches for _, watches in done.read)
            _log.info(log_events.WATCH_FILE_READ, files=len(done.read), watches=watches)
        gone = [(watch, *where) for watch, where in done.taken_out.items() if self._declared_in[watch] <= 0]
        for watch, path, generation in gone[:_NAMED]:
            fields = {"file": printable(path, 300), "watch": watch, "generation": generation}
            _log.warning(log_events.WATCH_UNDECLARED, **fields, note="taken out of the file; it is not cancelled")
        if (more := len(gone) - _NAMED) > 0:
            _log.warning(log_events.WATCH_UNDECLARED, count=more, note="so many more were taken out; none is cancelled")
        for watch, _, _ in gone:
            del self._declared_in[watch]


def _key(found: os.stat_result) -> _Key:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


async def _read_beside(due: Sequence[tuple[str, _Key | None]], known: Known) -> list[_Read]:
    if not due:
        return []
    with short_turns():
        return await run_sync(_read_some, due, known)


# ---- in a worker thread -------------------------------------------------------------------------------------------
def _read_some(due: Sequence[tuple[str, _Key | None]], known: Known) -> list[_Read]:
    """Files from the end of `due`, as many as are to be registered together."""
    reads: list[_Read] = []
    watches = size = 0
    for path, key in reversed(due):
        reads.append(_read(path, key, known))
        watches += len(reads[-1].requests)
        size += 0 if key is None else key[2]
        if watches >= _TOGETHER or size >= _TOGETHER_BYTES:
            break
    return reads


def _read(path: str, key: _Key | None, known: Known) -> _Read:
    try:
        return _Read(path=path, key=key, requests=read_watch_file(path, known))
    except InvalidWatch as error:
        return _Read(path=path, key=None if isinstance(error, Unread) else key, faults=error.faults)


class Unread(InvalidWatch):
    """The system did not let us read it. That may pass while the file stays as it is."""


def read_watch_file(path: str, known: Known) -> list[WatchRequest]:
    """The watches in one file. Raises `InvalidWatch` with every fault, `Unread` among them."""
    source = printable(path, 300)
    try:
        data = read_regular_file(path, MAX_BYTES)
    except FileRefused as error:
        refusal = Unread if isinstance(error, FileUnreadable) else InvalidWatch
        more = "; split it" if isinstance(error, FileTooLarge) else ""
        raise refusal([Fault(message=f"It {error}{more}.", source=source)]) from None
    return parse_document(data, known, json=suffix_of(path) == ".json", source=source)
