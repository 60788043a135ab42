"""The drop directory: a file put there becomes watches, and is moved only once they are durable.

inotify tells at once of what happens there. A scan, which cannot lose anything as events can, runs at the start and
whenever the wakeup is notified. Files are read and moved in batches in worker threads, bounded in number and bytes;
large ones one at a time, so that nobody's small file waits for them.

Whoever may drop files may not stop the service. If the directory, done/ or rejected/ is gone or not safe to use, at the
start or later, only this source stops: readiness says why and what to do, and files wait until it is mended, which is
found by itself. Directories that are missing below it are made.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
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
from notifier.intake.drop.acceptance import Acceptance, log_late_write
from notifier.intake.drop.inspect_file import (
    SETTLE,
    Complete,
    Finding,
    Large,
    NoDescriptor,
    Nothing,
    Unreadable,
    Waiting,
    inspect_file,
)
from notifier.intake.drop.pending import PendingFiles
from notifier.intake.drop.safe_open import DONE, REJECTED
from notifier.intake.drop.spool import Spool
from notifier.intake.entry import Known
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
#: Bytes beyond which a file is large: it takes about a quarter of a second to read.
_LARGE: Final = 256 * 1024
#: Seconds between scans while events keep the loop busy.
_RESCAN: Final = 10.0
#: Seconds to the next try while the store cannot write: the first, and at most.
_RETRY: Final = 1.0
_RETRY_MAX: Final = 30.0
#: Seconds without wakeup or event after which it scans anyway.
_IDLE: Final = 300.0
#: Seconds between passes at least, if nothing notifies.
_NAP: Final = 0.02
#: Seconds until the same lack is logged again.
_LOGGED_AGAIN: Final = 60.0
#: What readiness calls this source.
_PART: Final = "drop"

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
        self._pending = PendingFiles()
        self._acceptance = Acceptance(registrar, clock=clock, put_back=self._pending.put_back)
        self._known = known
        self._wakeup = wakeup
        self._clock = clock
        self._settle = settle
        #: Notified when a large file comes.
        self._large = Wakeup()
        #: True if the wakeup was notified for pending names only; any other notification calls for a scan.
        self._no_scan = False
        self._rescan_due = True
        self._scanned_at = 0.0
        #: Name -> inode of what we may not read, and have logged.
        self._logged: dict[str, int] = {}
        #: When it was last logged that files cannot be opened for want of descriptors.
        self._no_descriptor_at = float("-inf")
        #: Why no file is taken now; empty while they are.
        self._unusable = ""
        self._retry = 0.0
        self._retry_at = 0.0

    def troubles(self) -> dict[str, str]:
        """Why nothing is taken now, or what is taken does not leave."""
        why = self._unusable or self._acceptance.trouble()
        return {_PART: why} if why else {}

    # ---- the loop
    def try_again(self) -> None:
        """The store can write again: nothing waits any longer for its next try."""
        self._retry = self._retry_at = 0.0
        self._wakeup.notify()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; started once nothing can be missed, or once it is known that nothing can be taken now."""
        while True:
            while (spool := await self._open()) is None:
                task_status.started()
                task_status = anyio.TASK_STATUS_IGNORED
                await self._wakeup.wait(_RESCAN)
            try:
                passes = await self._serve(spool, task_status)
            finally:
                spool.close()
            task_status = anyio.TASK_STATUS_IGNORED
            if not passes:
                await self._wakeup.wait(_RESCAN)

    async def _open(self) -> Spool | None:
        """None if it must not be used; that is logged once for each reason, and when it is over."""
        try:
            spool = await run_sync(Spool, self._settings.directory)
        except ConfigError as error:
            why = f"{error.faults[0].message} Until then files wait there."
            if why != self._unusable:
                _log.error(log_events.DROP_UNREADABLE, why=why)
            self._unusable = why
            return None
        if self._unusable:
            _log.info(log_events.DROP_REOPENED, directory=printable(self._settings.directory, 300))
        self._unusable = ""
        return spool

    async def _serve(self, spool: Spool, task_status: TaskStatus[None]) -> int:
        """Until the directory is gone from its path, or may not be used any more; how many passes that were."""
        passes = 0
        self._rescan_due = True
        self._pending.clear()
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._listen, spool)
            tasks.start_soon(self._read_large_files, spool)
            task_status.started()
            while await run_sync(spool.current):
                passes += 1
                wait = await self._pass(spool)
                notified = await self._wakeup.wait(wait)
                late = self._clock.monotonic() - self._scanned_at > _RESCAN
                self._rescan_due |= late or (notified and not self._no_scan)
            tasks.cancel_scope.cancel()
        return passes

    async def _listen(self, spool: Spool, *, task_status: TaskStatus[None]) -> None:
        with ExitStack() as opened:
            try:
                source = opened.enter_context(closing(inotify.Inotify()))
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
                        log_late_write(event.name, late)
                    else:
                        self._rescan_due |= self._pending.handle(event, now=self._clock.monotonic())
                if self._rescan_due or self._pending.noticed():
                    self._notify()

    def _notify(self) -> None:
        self._no_scan = True
        self._wakeup.notify()

    # ---- one pass
    async def _pass(self, spool: Spool) -> float:
        """Deal with everything that can be dealt with now; the seconds until there may be more without a wakeup."""
        left = self._retry_at - self._clock.monotonic()
        if left > 0:
            return left
        if self._rescan_due:
            self._rescan_due = False
            self._scanned_at = self._clock.monotonic()
            await self._scan(spool)
        self._no_scan = False
        due = self._pending.due(self._clock.monotonic())
        while due:
            findings = await run_sync(self._inspect, spool, due, self._known())
            inspected, due = due[: len(findings)], due[len(findings) :]
            for finding, (name, waiting) in zip(findings, inspected, strict=True):
                self._note(name, finding, waiting)
            if not await self._accept(spool, [finding for finding in findings if isinstance(finding, Complete)]):
                return self._retry
        self._retry = 0.0
        return max(self._pending.next_in(self._clock.monotonic(), most=_IDLE), _NAP)

    async def _scan(self, spool: Spool) -> None:
        try:
            names = await run_sync(spool.names)
        except OSError as error:
            self._log_once(log_events.DROP_UNREADABLE, spool.directory, 0, help=f"it cannot be listed: {reason(error)}")
            return
        self._pending.scanned(names)
        self._logged = {name: self._logged[name] for name in names if name in self._logged}
        self._acceptance.forget(but=set(names))

    def _inspect(self, spool: Spool, due: Sequence[tuple[str, Waiting]], known: Known) -> list[Finding]:
        """In a worker thread: one batch, from the first that is due."""
        findings: list[Finding] = []
        size = 0
        for name, waiting in due[:_BATCH]:
            now = self._clock.monotonic()
            finding = inspect_file(spool, name, waiting, known, now=now, settle=self._settle, most=_LARGE)
            findings.append(finding)
            size += finding.size if isinstance(finding, Complete) else 0
            if size > _BATCH_BYTES:
                break
        return findings

    def _note(self, name: str, finding: Finding, waiting: Waiting) -> None:
        now = self._clock.monotonic()
        match finding:
            case NoDescriptor(why):  # logged for all files together
                if now - self._no_descriptor_at >= _LOGGED_AGAIN:
                    self._no_descriptor_at = now
                    directory = printable(self._settings.directory, 200)
                    _log.warning(log_events.DROP_UNREADABLE, file=directory, help=why)
            case Large(size):
                self._pending.add_large(name, waiting, size, now=now)
                self._large.notify()
            case Unreadable(inode, hint):
                self._log_once(log_events.DROP_UNREADABLE, name, inode, help=hint)
                self._pending.done(name, waiting)
            case Complete() | Nothing.GONE:
                self._pending.done(name, waiting)

    def _log_once(self, event: str, name: str, inode: int, **fields: object) -> None:
        if self._logged.get(name) != inode:
            self._logged[name] = inode
            _log.warning(event, file=printable(name, 200), **fields)

    async def _accept(self, spool: Spool, files: Sequence[Complete]) -> bool:
        """False if the store cannot write now: then it is tried again later."""
        left = await self._acceptance.process(spool, files) if files else []
        for file in left:
            self._pending.retry(file.name)
        if left:
            self._retry = min(max(self._retry * 2, _RETRY), _RETRY_MAX)
            self._retry_at = self._clock.monotonic() + self._retry
        return not left

    async def _read_large_files(self, spool: Spool) -> None:
        while True:
            if (turn := self._pending.next_large()) is None:
                await self._large.wait(_IDLE)
                continue
            name, waiting = turn
            with short_turns():
                finding = await run_sync(self._inspect_whole, spool, name, waiting, self._known())
            self._note(name, finding, waiting)
            await self._accept(spool, [finding] if isinstance(finding, Complete) else [])
            self._pending.end_turn(name)
            self._notify()  # the name may have been noticed meanwhile

    def _inspect_whole(self, spool: Spool, name: str, waiting: Waiting, known: Known) -> Finding:
        return inspect_file(spool, name, waiting, known, now=self._clock.monotonic(), settle=self._settle)

    # ---- upkeep
    async def prune(self, now: datetime) -> int:
        """Delete files accepted more than seven days ago; how many. 0 if there is no directory to use."""
        return await run_sync(_with_spool, self._settings.directory, lambda spool: spool.prune(now=now), 0)

    async def counts(self) -> Mapping[str, int]:
        """Files in `done` and in `rejected`, and those `waiting` to be read; none if there is no directory."""
        return await run_sync(_with_spool, self._settings.directory, _counts, {})


def _counts(spool: Spool) -> dict[str, int]:
    return {DONE: spool.count(DONE), REJECTED: spool.count(REJECTED), "waiting": len(spool.names())}


def _with_spool(directory: str, use: Callable[[Spool], _T], otherwise: _T) -> _T:
    """By descriptors of its own: the loop may close its own at any moment.

    `otherwise` if the directory is gone or must not be used: the loop logs that, and who counts goes on.
    """
    with suppress(ConfigError, OSError), closing(Spool(directory)) as spool:
        return use(spool)
    return otherwise
