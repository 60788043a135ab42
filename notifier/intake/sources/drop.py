"""The drop directory: a file put there becomes watches, and is moved only once they are durable.

Told at once of what happens there, it scans at its start and whenever its bell rings, because events can be lost and a
scan cannot. Files are read and moved in batches in worker threads, bounded in number and bytes; small ones are
registered in one call (10,000 of them: 0.4 s, against 1.5 s one by one), large ones side by side. What cannot be read
stays; what cannot be registered *now* (`StoreUnavailable`) stays and is tried again; only what its sender must correct
is moved to rejected/, with the reasons beside it.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeVar

import anyio
import structlog
from anyio.abc import TaskStatus
from anyio.to_thread import run_sync

from notifier import telemetry
from notifier.bell import Bell
from notifier.clock import Clock
from notifier.errors import ConfigError, Fault, InvalidWatch, StoreUnavailable
from notifier.intake.request import Known
from notifier.intake.sources import inotify
from notifier.intake.sources.arrival import SETTLE, Closed, NotYet, Sighting, Taken, Waiting, look
from notifier.intake.sources.departure import move_all
from notifier.intake.sources.door import Registers
from notifier.intake.sources.names import ignored
from notifier.intake.sources.spool import DONE, REJECTED, Moved, Spool
from notifier.intake.text import printable
from notifier.settings import DropSettings

_log = structlog.get_logger()


#: Files read, registered and moved together, at most; each holds a descriptor.
_BATCH: Final = 256
#: Bytes of files in one batch, beyond which no further one is read.
_BATCH_BYTES: Final = 32 * 1024 * 1024
#: Watches in a file, at most, that is registered together with others.
_SMALL: Final = 10
#: Seconds between scans while events keep the loop busy.
_RESCAN: Final = 10.0
#: Seconds to the next try while the store cannot write: the first, and at most.
_RETRY: Final = 1.0
_RETRY_MAX: Final = 30.0
#: Seconds without bell or event after which it scans anyway.
_IDLE: Final = 300.0
#: Seconds between looks at least, where nothing rings.
_NAP: Final = 0.02

_T = TypeVar("_T")


class DropDirectory:
    """Watches `settings.directory`. `known` gives what is configured now; `bell` calls for a rescan."""

    def __init__(
        self,
        settings: DropSettings,
        registrar: Registers,
        known: Callable[[], Known],
        *,
        bell: Bell,
        clock: Clock,
        settle: float = SETTLE,
    ) -> None:
        self._settings = settings
        self._registrar = registrar
        self._known = known
        self._bell = bell
        self._clock = clock
        self._settle = settle
        self._waiting: dict[str, Waiting] = {}
        #: Names that were told of since the last pass.
        self._told: set[str] = set()
        #: True where the bell was rung for events that wait in `_told`; any other ring calls for a scan.
        self._heard = False
        self._rescan_due = True
        self._scanned_at = 0.0
        #: Name -> inode of what we may not read or could not move, and have logged.
        self._logged: dict[str, int] = {}
        #: Names under which we put files back ourselves: renamed in, but not complete by that.
        self._returned: set[str] = set()
        #: True while the store cannot write, as far as was logged.
        self._unavailable = False
        #: True while there is no directory that may be used.
        self._lost = False
        self._retry = 0.0
        self._retry_at = 0.0

    def degraded(self) -> list[str]:
        """The directory, while it is gone or must not be used any more."""
        return [self._settings.directory] if self._lost else []

    # ---- the loop
    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; started once nothing can be missed. `ConfigError` where the directory must not be used."""
        spool = await run_sync(Spool, self._settings.directory)
        while True:
            try:
                await self._serve(spool, task_status)
            finally:
                spool.close()
            task_status = anyio.TASK_STATUS_IGNORED
            spool = await self._reopen()

    async def _serve(self, spool: Spool, task_status: TaskStatus[None]) -> None:
        """Until the directory is gone from its path."""
        self._rescan_due = True
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._listen, spool)
            task_status.started()
            while await run_sync(spool.current):
                wait = await self._pass(spool)
                rung = await self._bell.wait(wait)
                late = self._clock.monotonic() - self._scanned_at > _RESCAN
                self._rescan_due |= late or (rung and not self._heard)
            tasks.cancel_scope.cancel()

    async def _reopen(self) -> Spool:
        """The directory was moved away or removed: wait until there is one again."""
        self._waiting.clear()
        while True:
            try:
                spool = await run_sync(Spool, self._settings.directory)
            except ConfigError as error:
                if not self._lost:
                    _log.error(telemetry.DROP_UNREADABLE, why=str(error))
                self._lost = True
            else:
                self._lost = False
                return spool
            await self._bell.wait(_RESCAN)

    async def _listen(self, spool: Spool, *, task_status: TaskStatus[None]) -> None:
        try:
            source = inotify.Inotify(spool.fd)
        except OSError as error:
            _log.warning(
                telemetry.DROP_UNTOLD,
                why=inotify.why(error),
                note="files are found by the rescan only, some seconds later",
            )
            task_status.started()
            return
        with source:
            task_status.started()
            while True:
                for mask, name in await source.events():
                    self._hear(mask, name)
                if self._told or self._rescan_due:
                    self._heard = True
                    self._bell.ring()

    def _hear(self, mask: int, name: str) -> None:
        if mask & (inotify.OVERFLOW | inotify.GONE):
            self._rescan_due = True
        elif name and not ignored(name):
            self._told.add(name)
            if mask & inotify.MOVED_TO:
                self._waiting[name] = Waiting(renamed=name not in self._returned)
                self._returned.discard(name)
            elif mask & inotify.CREATE:
                self._waiting[name] = Waiting()

    # ---- one pass
    async def _pass(self, spool: Spool) -> float:
        """Deal with everything that can be dealt with now; the seconds until there may be more without a bell."""
        left = self._retry_at - self._clock.monotonic()
        if left > 0:
            return left
        due = await self._due(spool)
        while due:
            sightings = await run_sync(self._look, spool, due, self._known())
            looked, due = due[: len(sightings)], due[len(sightings) :]
            taken = [one for one, (_, waiting) in zip(sightings, looked, strict=True) if self._note(one, waiting)]
            if not await self._deal_with(spool, [one for one in taken if isinstance(one, Taken)]):
                return self._back_off()
        self._retry = 0.0
        soonest = min(map(self._settles_in, self._waiting.values()), default=_IDLE)
        return max(soonest, _NAP)

    def _back_off(self) -> float:
        self._retry = min(max(self._retry * 2, _RETRY), _RETRY_MAX)
        self._retry_at = self._clock.monotonic() + self._retry
        return self._retry

    async def _due(self, spool: Spool) -> list[tuple[str, Waiting]]:
        """What to look at: names told of, settled ones, and after a scan all of them."""
        if self._rescan_due:
            self._rescan_due = False
            self._scanned_at = self._clock.monotonic()
            try:
                there = await run_sync(spool.names)
            except OSError as error:
                self._log_once(
                    telemetry.DROP_UNREADABLE, spool.directory, 0, help=f"it cannot be listed: {error.strerror}"
                )
                there = []
            self._told.update(there)
            self._logged = {name: self._logged[name] for name in there if name in self._logged}
        told, self._told, self._heard = self._told, set(), False
        for name in told:
            self._waiting.setdefault(name, Waiting())
        return [(n, waiting) for n, waiting in self._waiting.items() if n in told or self._settles_in(waiting) <= 0]

    def _settles_in(self, waiting: Waiting) -> float:
        return 0.0 if waiting.key is None else waiting.since + self._settle - self._clock.monotonic()

    def _look(self, spool: Spool, due: Sequence[tuple[str, Waiting]], known: Known) -> list[Sighting]:
        """In a worker thread: one batch, from the first that is due."""
        sightings: list[Sighting] = []
        size = 0
        for name, waiting in due[:_BATCH]:
            sighting = look(spool, name, waiting, known, now=self._clock.monotonic(), settle=self._settle)
            sightings.append(sighting)
            size += sighting.size if isinstance(sighting, Taken) else 0
            if size > _BATCH_BYTES:
                break
        return sightings

    def _note(self, sighting: Sighting, waiting: Waiting) -> bool:
        """True where it is taken."""
        if isinstance(sighting, Closed):
            self._log_once(telemetry.DROP_UNREADABLE, sighting.name, sighting.inode, help=sighting.hint)
        if isinstance(sighting, NotYet) and self._settles_in(waiting) <= 0:
            waiting.since = self._clock.monotonic()  # it changed under our eyes
        elif not isinstance(sighting, NotYet) and self._waiting.get(sighting.name) is waiting:
            del self._waiting[sighting.name]  # unless another one of that name came meanwhile
        return isinstance(sighting, Taken)

    def _log_once(self, event: str, name: str, inode: int, **fields: object) -> None:
        if self._logged.get(name) != inode:
            self._logged[name] = inode
            _log.warning(event, file=printable(name, 200), **fields)

    # ---- a batch
    async def _deal_with(self, spool: Spool, taken: Sequence[Taken]) -> bool:
        """Register what can be, move what is settled. False where the store cannot write now."""
        faults: dict[str, Sequence[Fault]] = {}
        try:
            alone = await self._register_together(taken, faults)
            async with anyio.create_task_group() as tasks:
                for one in alone:
                    tasks.start_soon(self._register, one, faults)
            judged = [(one, faults[one.name]) for one in taken if one.name in faults]
            now = self._clock.now()
            outcomes = await run_sync(move_all, spool, judged, now)
        finally:
            for one in taken:
                if one.fd is not None:
                    os.close(one.fd)
        self._tell_all(judged, outcomes)
        for one in taken:
            if one.name not in faults:
                self._waiting.setdefault(one.name, Waiting(renamed=True))  # complete, only not registered yet
        return len(judged) == len(taken)

    async def _register_together(self, taken: Sequence[Taken], faults: dict[str, Sequence[Fault]]) -> Sequence[Taken]:
        """Small files in one call, many times cheaper than one by one; the files that must be registered by themselves.

        A file that is refused refuses them all, and nothing was registered: then each tells for itself.
        """
        small = [one for one in taken if not one.faults and len(one.requests) <= _SMALL]
        if len(small) < 2:  # noqa: PLR2004  two are together
            return taken
        try:
            await self._registrar.register([request for one in small for request in one.requests], source="drop")
        except InvalidWatch:
            return taken
        except StoreUnavailable as error:
            self._cannot_write(error)
        else:
            self._unavailable = False
            faults.update((one.name, ()) for one in small)
        return [one for one in taken if one.faults or len(one.requests) > _SMALL]

    def _cannot_write(self, error: StoreUnavailable) -> None:
        if not self._unavailable:
            self._unavailable = True
            _log.warning(telemetry.STORE_UNAVAILABLE, why=str(error), note="dropped files stay, and are tried again")

    async def _register(self, one: Taken, faults: dict[str, Sequence[Fault]]) -> None:
        """Put down the file's faults, or that it has none; nothing where it must be tried again."""
        if one.faults:
            faults[one.name] = one.faults
            return
        try:
            await self._registrar.register(one.requests, source=f"drop:{printable(one.name, 200)}")
        except InvalidWatch as error:
            faults[one.name] = error.faults
        except StoreUnavailable as error:
            self._cannot_write(error)
        else:
            self._unavailable = False
            faults[one.name] = ()

    def _tell_all(self, judged: Sequence[tuple[Taken, Sequence[Fault]]], outcomes: Sequence[Moved | OSError]) -> None:
        """Of accepted files a line each where that is one; of many, one for all, and their names for who debugs."""
        accepted: list[tuple[Taken, Moved]] = []
        for (one, why), moved in zip(judged, outcomes, strict=True):
            if isinstance(moved, Moved) and moved.same and not why:
                accepted.append((one, moved))
            else:
                self._tell(one, why, moved)
        log = _log.info if len(accepted) == 1 else _log.debug
        for one, moved in accepted:
            log(
                telemetry.DROP_ACCEPTED,
                file=printable(one.name, 200),
                to=printable(moved.to, 300),
                watches=len(one.requests),
            )
        if len(accepted) > 1:
            _log.info(
                telemetry.DROP_ACCEPTED,
                files=len(accepted),
                first=printable(accepted[0][0].name, 200),
                to=DONE,
                watches=sum(len(one.requests) for one, _ in accepted),
            )

    def _tell(self, one: Taken, why: Sequence[Fault], moved: Moved | OSError) -> None:
        name = printable(one.name, 200)
        if isinstance(moved, OSError):
            self._log_once(
                telemetry.DROP_STUCK,
                one.name,
                one.key[0],
                why=moved.strerror,
                note="where it is still there, it stays and is tried again",
            )
        elif not moved.same:
            self._returned.add(moved.to)
            _log.info(
                telemetry.DROP_RETURNED, file=name, to=printable(moved.to, 300), note="it changed while it was read"
            )
        else:
            shown = [str(fault) for fault in why[:5]]
            _log.warning(telemetry.DROP_REJECTED, file=name, to=printable(moved.to, 300), count=len(why), faults=shown)

    # ---- upkeep
    async def prune(self, now: datetime) -> int:
        """Delete files accepted more than seven days ago; how many. 0 where there is no directory to use."""
        return await run_sync(_with_spool, self._settings.directory, lambda spool: spool.prune(now=now), 0)

    async def counts(self) -> Mapping[str, int]:
        """Files in `done` and in `rejected`, and those `waiting` to be read; none where there is no directory."""
        return await run_sync(_with_spool, self._settings.directory, _counts, {})


def _counts(spool: Spool) -> dict[str, int]:
    return {DONE: spool.count(DONE), REJECTED: spool.count(REJECTED), "waiting": len(spool.names())}


def _with_spool(directory: str, use: Callable[[Spool], _T], otherwise: _T) -> _T:
    """By descriptors of its own: the loop may close its own at any moment.

    `otherwise` where the directory is gone or must not be used: the loop tells of that, and who counts goes on.
    """
    try:
        spool = Spool(directory)
    except (ConfigError, OSError):
        return otherwise
    try:
        return use(spool)
    except OSError:
        return otherwise
    finally:
        spool.close()
