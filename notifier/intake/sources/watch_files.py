"""The operator's watch files: declared watches, read again whenever a file changes.

Every file that the globs name is a list of watches, as YAML or JSON. A file with a fault is skipped whole, logged with
every fault, and makes readiness say degraded: a file dropped in must not stop the daemon. What a file declared before
stays registered; a watch that is taken out of one is not cancelled, and that is said once. Where a watch is open
already with other content the first one stays.

watchfiles tells of changes in the directories that the globs name, where they exist; the bell's rescan finds the rest.
"""

import glob
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import structlog
from anyio.abc import TaskStatus
from anyio.to_thread import run_sync
from watchfiles import awatch

from notifier import telemetry
from notifier.bell import Bell
from notifier.errors import Fault, InvalidWatch, StoreUnavailable
from notifier.ids import WatchId, watch_id
from notifier.intake.request import MAX_BYTES, Known, parse_document, suffix_of
from notifier.intake.sources.door import Registers
from notifier.intake.text import printable
from notifier.model import WatchRequest

_log = structlog.get_logger()


#: Seconds without bell or event after which the files are looked at anyway.
_IDLE: Final = 300.0
#: Seconds to the next try while the store cannot write: the first, and at most.
_RETRY: Final = 1.0
_RETRY_MAX: Final = 30.0
#: Faults of one file that are logged, at most.
_LOGGED: Final = 20

#: Device, inode, size, mtime, ctime (a chmod can make it readable): a file that has another one is read again.
_Key = tuple[int, int, int, int, int]


@dataclass(slots=True, kw_only=True)
class _File:
    """What is known of one file."""

    #: As it was read last; None where it could not be looked at.
    key: _Key | None = None
    #: What was configured then: other names make other watches of the same text.
    known: Known | None = None
    #: Watch -> its generation's ID, as last declared without a fault.
    declared: dict[WatchId, str]
    #: True where its last reading was refused.
    faulty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    path: str
    key: _Key | None
    requests: Sequence[WatchRequest] = ()
    faults: Sequence[Fault] = ()


class WatchFiles:
    """Reads `globs`. `known` gives what is configured now; `bell` calls for another look."""

    def __init__(self, globs: Sequence[str], registrar: Registers, known: Callable[[], Known], *, bell: Bell) -> None:
        self._globs = tuple(globs)
        self._registrar = registrar
        self._known = known
        self._bell = bell
        self._files: dict[str, _File] = {}
        #: What the globs named at the last look.
        self._there: list[str] = []
        self._retry = 0.0
        self._unread = True

    def degraded(self) -> list[str]:
        """Paths of the files that are skipped for a fault now."""
        return sorted(path for path, file in self._files.items() if file.faulty)

    @property
    def incomplete(self) -> bool:
        """Whether some file's watches are not known now: unread, skipped for a fault, or waiting for the store."""
        return self._unread or self._retry > 0 or any(file.faulty for file in self._files.values())

    def declared(self) -> set[WatchId]:
        """Every watch that stands in a file now."""
        return {watch for file in self._files.values() for watch in file.declared}

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. Started once every file was read, so that readiness can tell."""
        async with anyio.create_task_group() as tasks:
            stop = anyio.Event()
            await tasks.start(self._listen, stop)
            try:
                await self.read_all()
                task_status.started()
                while True:
                    await self._bell.wait(self._retry or _IDLE)
                    await self.read_all()
            finally:
                stop.set()  # awatch waits in a thread that a cancellation does not reach

    async def _listen(self, stop: anyio.Event, *, task_status: TaskStatus[None]) -> None:
        directories = await run_sync(_directories, self._globs)
        task_status.started()  # awatch begins to watch before it first awaits: no change is missed between
        if not directories:
            return
        # Steps and debounce are milliseconds: an editor's few events are one, and a person does not wait.
        try:
            async for _ in awatch(*directories, recursive=False, step=20, debounce=200, stop_event=stop):
                self._bell.ring()
        except (OSError, RuntimeError) as error:  # RuntimeError is the base of its own errors
            _log.warning(telemetry.WATCH_FILES_UNTOLD, why=str(error), note="changes are found by the rescan only")

    async def read_all(self) -> None:
        """Read what is new or changed, and register it; a file that is gone declares nothing any more."""
        known = self._known()
        reads = await run_sync(self._changed, known)
        available = True
        for read in reads:
            available = await self._take(read, known) and available
        for path in [path for path in self._files if path not in self._there]:
            self._undeclare(path, self._files.pop(path).declared, {})
        self._unread = False
        self._retry = 0.0 if available else min(max(self._retry * 2, _RETRY), _RETRY_MAX)

    def _changed(self, known: Known) -> list[_Read]:
        """In a worker thread: the files that are not as they were read last."""
        self._there = _paths(self._globs)
        reads: list[_Read] = []
        for path in self._there:
            file, key = self._files.get(path), _key(path)
            if file is None or file.key != key or file.known != known:
                reads.append(_read(path, key, known))
        return reads

    async def _take(self, read: _Read, known: Known) -> bool:
        """Register one file's watches. False where the store cannot write now: it is read again."""
        file = self._files.setdefault(read.path, _File(declared={}))
        faults = read.faults
        if not faults and read.requests:
            try:
                await self._registrar.register(read.requests, source=read.path, keep_first=True)
            except InvalidWatch as error:
                faults = error.faults
            except StoreUnavailable as error:
                if not self._retry:
                    _log.warning(telemetry.STORE_UNAVAILABLE, file=read.path, why=str(error))
                return False
        file.key, file.known, file.faulty = read.key, known, bool(faults)
        if faults:
            shown = [str(fault) for fault in faults[:_LOGGED]]
            _log.error(telemetry.WATCH_FILE_SKIPPED, file=read.path, count=len(faults), faults=shown)
            return True
        declared = {_watch_id(request): str(request.generation) for request in read.requests}
        self._undeclare(read.path, file.declared, declared)
        file.declared = declared
        _log.info(telemetry.WATCH_FILE_READ, file=read.path, watches=len(declared))
        return True

    def _undeclare(self, path: str, before: dict[WatchId, str], now: dict[WatchId, str]) -> None:
        """Say of each watch that was taken out, and stands in no other file, that it goes on."""
        others = {watch for other, file in self._files.items() if other != path for watch in file.declared}
        for watch, generation in before.items():
            if watch not in now and watch not in others:
                _log.warning(
                    telemetry.WATCH_UNDECLARED,
                    file=path,
                    watch=watch,
                    generation=generation,
                    note="taken out of the file; it is not cancelled",
                )


def _watch_id(request: WatchRequest) -> WatchId:
    return watch_id(
        provider=request.provider,
        generation=request.generation,
        target=request.target,
        endpoint=request.endpoint,
    )


def _paths(globs: Sequence[str]) -> list[str]:
    """Every file, once, in order; directories and hidden files are none."""
    found = {path for pattern in globs for path in glob.glob(pattern, recursive=True)}  # noqa: PTH207  absolute patterns
    return sorted(path for path in found if not Path(path).is_dir())


def _directories(globs: Sequence[str]) -> list[str]:
    """The directories that hold what the globs name, as far as they exist."""
    parents = {parent for pattern in globs for parent in glob.glob(str(Path(pattern).parent), recursive=True)}  # noqa: PTH207  absolute patterns
    return sorted(parent for parent in parents if Path(parent).is_dir())


def _key(path: str) -> _Key | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(path: str, key: _Key | None, known: Known) -> _Read:
    try:
        data = _bytes_of(path)
        json = suffix_of(path) == ".json"
        requests = parse_document(data, known, json=json, source=printable(path, 300))
    except OSError as error:
        return _Read(path=path, key=key, faults=(Fault(message=f"It cannot be read: {error.strerror}.", source=path),))
    except InvalidWatch as error:
        return _Read(path=path, key=key, faults=error.faults)
    return _Read(path=path, key=key, requests=requests)


def _bytes_of(path: str) -> bytes:
    """The whole file. It is the operator's: links are followed; but what is no regular file would never end."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        if not Path(path).is_file():
            raise InvalidWatch([Fault(message="It is not a regular file.", source=path)])
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InvalidWatch([Fault(message=f"It is larger than {MAX_BYTES // 2**20} MiB; split it.", source=path)])
    return data
