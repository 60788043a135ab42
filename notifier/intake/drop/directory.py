"""The drop directory: a file put there becomes watches, and is moved only once they are durable.

Told at once of what happens there, it scans at its start and whenever its wakeup rings, because events can be lost and
a scan cannot. Files are read and moved in batches in worker threads, bounded in number and bytes; large ones one at a
time, so that nobody's small file waits for them.

Whoever may drop files may not stop the service. Where the directory, done/ or rejected/ is gone or not safe to use, at
the start or later, this door alone is shut: readiness says why and what to do, and files wait until it is mended, which
is found by itself. Directories that are missing below it are made.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Final, TypeVar

import anyio
import structlog
from anyio.abc import TaskStatus
from anyio.to_thread import run_sync

from notifier.domain.errors import ConfigError
from notifier.domain.os_errors import reason
from notifier.domain.settings import DropSettings
from notifier.intake import inotify
from notifier.intake.drop.acceptance import Acceptance
from notifier.intake.drop.inspect_file import SETTLE, Closed, Large, NotYet, Short, Sighting, Taken, Waiting, look
from notifier.intake.drop.renames import Renames
from notifier.intake.drop.spool import Spool
from notifier.intake.drop.subdirectories import DONE, REJECTED
from notifier.intake.drop.turns import LARGE, Turn, next_turn
from notifier.intake.entry import Known
from notifier.intake.file_names import ignored
from notifier.intake.registrar import RegistrarPort
from notifier.runtime import log_events
from notifier.runtime.clock import Clock
from notifier.runtime.switch_interval import short_turns
from notifier.runtime.wakeup import Wakeup
from notifier.text.printable import printable

_log = structlog.get_logger()


#: Files read, registered and moved together, at most; each holds a descriptor.
_BATCH: Final = 256
#: Bytes of files in one batch, beyond which no further one is read.
_BATCH_BYTES: Final = 4 * 1024 * 1024
#: Seconds between scans while events keep the loop busy.
_RESCAN: Final = 10.0
#: Seconds to the next try while the store cannot write: the first, and at most.
_RETRY: Final = 1.0
_RETRY_MAX: Final = 30.0
#: Seconds without wakeup or event after which it scans anyway.
_IDLE: Final = 300.0
#: Seconds between looks at least, where nothing rings.
_NAP: Final = 0.02
#: Seconds until the same want is told of again.
_TOLD_AGAIN: Final = 60.0
#: What readiness calls this source.
_PART: Final = "drop"
#: Names of files in done/ that were written to, remembered at most.
_MOST_LATE: Final = 10_000
_LATE: Final = (
    "a program wrote to it after it was accepted, and what it wrote is not watched: close a file when it is whole, or "
    "write it as x.tmp and rename it; what is new, drop again as another file"
)

_T = TypeVar("_T")


class DropDirectory:
    """Watches `settings.directory`. `known` gives what is configured now; `wakeup` calls for a rescan."""

    def __init__(
        self,
        settings: DropSettings,
        registrar: RegistrarPort,
        known: Callable[[], Known],
        *,
        wakeup: Wakeup,
        clock: Clock,
        settle: float = SETTLE,
    ) -> None:
        self._settings = settings
        self._acceptance = Acceptance(registrar, clock=clock)
        self._known = known
        self._wakeup = wakeup
        self._clock = clock
        self._settle = settle
        self._waiting: dict[str, Waiting] = {}
        #: Large files that are complete; rung when one comes.
        self._turns: dict[str, Turn] = {}
        self._turn = Wakeup()
        self._renames = Renames()
        #: Names that were told of since the last pass.
        self._told: set[str] = set()
        #: True where the wakeup was rung for events that wait in `_told`; any other ring calls for a scan.
        self._heard = False
        self._rescan_due = True
        self._scanned_at = 0.0
        #: Name -> inode of what we may not read, and have logged.
        self._logged: dict[str, int] = {}
        #: When it was last told that files cannot be opened for want of descriptors.
        self._short_told = float("-inf")
        #: Why no file is taken now; empty while they are.
        self._shut = ""
        self._retry = 0.0
        self._retry_at = 0.0

    def troubles(self) -> dict[str, str]:
        """Why nothing is taken now, or what is taken does not leave."""
        why = self._shut or self._acceptance.trouble()
        return {_PART: why} if why else {}

    # ---- the loop
    def try_again(self) -> None:
        """The store can write again: what was left is not waited for any longer."""
        self._retry = self._retry_at = 0.0
        self._wakeup.notify()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; started once nothing can be missed, or once it is known that nothing can be taken now."""
        while True:
            spool = await self._open()
            if spool is None:
                task_status.started()
                spool = await self._reopen()
                task_status = anyio.TASK_STATUS_IGNORED
            try:
                passes = await self._serve(spool, task_status)
            finally:
                spool.close()
            task_status = anyio.TASK_STATUS_IGNORED
            if not passes:
                await self._wakeup.wait(_RESCAN)

    async def _serve(self, spool: Spool, task_status: TaskStatus[None]) -> int:
        """Until the directory is gone from its path, or may not be used any more; how many passes that were."""
        passes = 0
        self._rescan_due = True
        self._waiting.clear()
        self._turns.clear()
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._listen, spool)
            tasks.start_soon(self._take_turns, spool)
            task_status.started()
            while await run_sync(spool.current):
                passes += 1
                wait = await self._pass(spool)
                rung = await self._wakeup.wait(wait)
                late = self._clock.monotonic() - self._scanned_at > _RESCAN
                self._rescan_due |= late or (rung and not self._heard)
            tasks.cancel_scope.cancel()
        return passes

    async def _open(self) -> Spool | None:
        """None where it must not be used; that is said once for each reason, and when it is over."""
        try:
            spool = await run_sync(Spool, self._settings.directory)
        except ConfigError as error:
            why = f"{error.faults[0].message} Until then files wait there."
            if why != self._shut:
                _log.error(log_events.DROP_UNREADABLE, why=why)
            self._shut = why
            return None
        if self._shut:
            _log.info(log_events.DROP_REOPENED, directory=printable(self._settings.directory, 300))
        self._shut = ""
        return spool

    async def _reopen(self) -> Spool:
        """Wait until it may be used."""
        while True:
            await self._wakeup.wait(_RESCAN)
            if (spool := await self._open()) is not None:
                return spool

    async def _listen(self, spool: Spool, *, task_status: TaskStatus[None]) -> None:
        with ExitStack() as opened:
            try:
                source = opened.enter_context(inotify.Inotify())
                source.add(spool.fd)
                done = source.add(spool.below(DONE), inotify.MODIFY)
            except OSError as error:
                inotify.log_unavailable("drop", error)
                task_status.started()
                return
            task_status.started()
            late: set[str] = set()
            while True:
                for event in await source.events():
                    if event.watch == done:
                        _log_late_write(event.name, late)
                    else:
                        self._hear(event.mask, event.name, event.cookie)
                if self._told or self._rescan_due:
                    self._notify()

    def _notify(self) -> None:
        self._heard = True
        self._wakeup.notify()

    def _hear(self, mask: int, name: str, cookie: int) -> None:
        still_written = self._renames.hear(mask, name, cookie)
        if mask & (inotify.OVERFLOW | inotify.GONE):
            self._rescan_due = True
            for waiting in self._waiting.values():  # what was told of their writers may not hold any more
                waiting.made, waiting.written = False, None
        elif name and not ignored(name) and not mask & inotify.MOVED_FROM:
            self._told.add(name)
            if mask & inotify.MOVED_TO:
                renamed = not self._acceptance.was_returned(name)
                self._waiting[name] = Waiting(renamed=renamed, written=still_written or None)
            elif mask & inotify.CREATE:
                self._waiting[name] = Waiting(made=True)
            elif mask & inotify.CLOSE_WRITE:
                waiting = self._waiting.setdefault(name, Waiting())
                waiting.made = waiting.written = False
                waiting.since = self._clock.monotonic()  # it settles from now on, however long it was kept open
            elif mask & inotify.MODIFY:
                self._waiting.setdefault(name, Waiting()).written = True

    # ---- one pass
    async def _pass(self, spool: Spool) -> float:
        """Deal with everything that can be dealt with now; the seconds until there may be more without a wakeup."""
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
        ahead = (self._looks_in(waiting) for name, waiting in self._waiting.items() if name not in self._turns)
        return max(min(ahead, default=_IDLE), _NAP)

    def _back_off(self) -> float:
        self._retry = min(max(self._retry * 2, _RETRY), _RETRY_MAX)
        self._retry_at = self._clock.monotonic() + self._retry
        return self._retry

    async def _due(self, spool: Spool) -> list[tuple[str, Waiting]]:
        """What to look at: names told of, those whose time has come, and after a scan all of them."""
        if self._rescan_due:
            self._rescan_due = False
            self._scanned_at = self._clock.monotonic()
            await self._scan(spool)
        told, self._told, self._heard = self._told - self._turns.keys(), self._told & self._turns.keys(), False
        for name in told:
            self._waiting.setdefault(name, Waiting())
        ready = [(n, w) for n, w in self._waiting.items() if n in told or self._looks_in(w) <= 0]
        return [(name, waiting) for name, waiting in ready if name not in self._turns]

    async def _scan(self, spool: Spool) -> None:
        try:
            there = await run_sync(spool.names)
        except OSError as error:
            self._log_once(log_events.DROP_UNREADABLE, spool.directory, 0, help=f"it cannot be listed: {reason(error)}")
            return
        self._told.update(there)
        self._logged = {name: self._logged[name] for name in there if name in self._logged}
        self._acceptance.forget(but=set(there))

    def _looks_in(self, waiting: Waiting) -> float:
        return 0.0 if waiting.key is None else waiting.look_at - self._clock.monotonic()

    def _look(self, spool: Spool, due: Sequence[tuple[str, Waiting]], known: Known) -> list[Sighting]:
        """In a worker thread: one batch, from the first that is due."""
        sightings: list[Sighting] = []
        size = 0
        for name, waiting in due[:_BATCH]:
            now = self._clock.monotonic()
            sighting = look(spool, name, waiting, known, now=now, settle=self._settle, most=LARGE)
            sightings.append(sighting)
            size += sighting.size if isinstance(sighting, Taken) else 0
            if size > _BATCH_BYTES:
                break
        return sightings

    def _note(self, sighting: Sighting, waiting: Waiting) -> bool:
        """True where it is taken."""
        if isinstance(sighting, Closed):
            self._log_once(log_events.DROP_UNREADABLE, sighting.name, sighting.inode, help=sighting.hint)
        if isinstance(sighting, Short):
            self._tell_short(sighting.why)
        if isinstance(sighting, Large):
            turn = Turn(waiting=waiting, size=sighting.size, since=self._clock.monotonic())
            self._turns.setdefault(sighting.name, turn)
            self._turn.notify()
        elif not isinstance(sighting, NotYet | Short) and self._waiting.get(sighting.name) is waiting:
            del self._waiting[sighting.name]  # unless another one of that name came meanwhile
        return isinstance(sighting, Taken)

    def _tell_short(self, why: str) -> None:
        """Of all files, and not again within a minute: some can be opened meanwhile."""
        now = self._clock.monotonic()
        if now - self._short_told >= _TOLD_AGAIN:
            self._short_told = now
            _log.warning(log_events.DROP_UNREADABLE, file=printable(self._settings.directory, 200), help=why)

    def _log_once(self, event: str, name: str, inode: int, **fields: object) -> None:
        if self._logged.get(name) != inode:
            self._logged[name] = inode
            _log.warning(event, file=printable(name, 200), **fields)

    async def _deal_with(self, spool: Spool, taken: Sequence[Taken]) -> bool:
        """False where the store cannot write now."""
        left = await self._acceptance.deal_with(spool, taken)
        for one in left:
            self._waiting.setdefault(one.name, Waiting(renamed=True))  # complete, only not registered yet
        return not left

    # ---- large files
    async def _take_turns(self, spool: Spool) -> None:
        while True:
            if (name := next_turn(self._turns)) is None:
                await self._turn.wait(_IDLE)
                continue
            waiting = self._turns[name].waiting
            with short_turns():
                sighting = await run_sync(self._look_whole, spool, name, waiting, self._known())
            taken = [sighting] if self._note(sighting, waiting) and isinstance(sighting, Taken) else []
            if not await self._deal_with(spool, taken):
                self._back_off()
            del self._turns[name]
            self._notify()  # what was told of it meanwhile

    def _look_whole(self, spool: Spool, name: str, waiting: Waiting, known: Known) -> Sighting:
        return look(spool, name, waiting, known, now=self._clock.monotonic(), settle=self._settle)

    # ---- upkeep
    async def prune(self, now: datetime) -> int:
        """Delete files accepted more than seven days ago; how many. 0 where there is no directory to use."""
        return await run_sync(_with_spool, self._settings.directory, lambda spool: spool.prune(now=now), 0)

    async def counts(self) -> Mapping[str, int]:
        """Files in `done` and in `rejected`, and those `waiting` to be read; none where there is no directory."""
        return await run_sync(_with_spool, self._settings.directory, _counts, {})


def _log_late_write(name: str, logged: set[str]) -> None:
    """Of a file in done/. What is written to it there is not watched, though its writer expects it; each is told once.

    A file is accepted when its writer closed it. But of another user's file nobody says whether it is open, and one
    that is kept open is accepted after a minute without change.
    """
    if not name or name in logged:
        return
    if len(logged) == _MOST_LATE:
        logged.clear()
    logged.add(name)
    _log.warning(log_events.DROP_CHANGED, file=printable(f"{DONE}/{name}", 300), note=_LATE)


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
