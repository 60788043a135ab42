"""What becomes of complete drop files: their watches are registered, then they are moved, and both is logged.

Small files are registered in one call (10,000 of them: 0.4 s, against 1.5 s one by one), large ones side by side. What
cannot be registered *now* (`StoreUnavailable`) stays and is tried again; only what its sender must correct is moved to
rejected/, with the reasons beside it. What cannot be moved stays registered, and is logged once, as long as it lies
there.
"""

import os
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Final

import anyio
import structlog
from anyio.to_thread import run_sync

from notifier.domain.errors import MAX_FAULTS, Fault, InvalidWatch, StoreUnavailable
from notifier.domain.os_errors import reason
from notifier.intake.drop.inspect_file import Complete
from notifier.intake.drop.safe_open import DONE
from notifier.intake.drop.spool import Moved, Spool
from notifier.intake.registrar import RegistrarPort
from notifier.runtime import log_events
from notifier.runtime.clock import Clock
from notifier.text.printable import printable

_log = structlog.get_logger()

#: Watches in a file, at most, that is registered together with others.
_SMALL: Final = 10
#: Faults in one .error file, at most.
_FAULTS: Final = 2 * MAX_FAULTS
#: Names of files in done/ that were written to, remembered at most.
_MOST_LATE: Final = 10_000
_KEPT_OPEN: Final = (
    "a program has kept it open for a minute without writing to it, so it was taken as it is; what is written to it "
    "now is not seen: close a file when it is whole"
)
_LATE: Final = (
    "a program wrote to it after it was accepted, and what it wrote is not watched: close a file when it is whole, or "
    "write it as x.tmp and rename it; what is new, drop again as another file"
)


class Acceptance:
    """Registers files by `registrar`. `put_back` is called with the name of each that changed while it was read."""

    def __init__(self, registrar: RegistrarPort, *, clock: Clock, put_back: Callable[[str], None]) -> None:
        self._registrar = registrar
        self._clock = clock
        self._put_back = put_back
        #: True while the store cannot write, as far as was logged.
        self._unavailable = False
        #: Name -> inode and reason, of what could not be moved.
        self._stuck: dict[str, tuple[int, str]] = {}

    def forget(self, *, but: Collection[str]) -> None:
        """Nothing has any other name any more."""
        self._stuck = {name: why for name, why in self._stuck.items() if name in but}

    def trouble(self) -> str | None:
        """Why files that were registered do not leave; None if all do."""
        if not self._stuck:
            return None
        name, (_, why) = next(iter(self._stuck.items()))
        others = f" and {len(self._stuck) - 1} more" if len(self._stuck) > 1 else ""
        return f"{printable(name, 100)}{others} cannot be moved away: {why}"

    async def process(self, spool: Spool, files: Sequence[Complete]) -> list[Complete]:
        """Register what can be, move what is settled; the rest, because the store cannot write now."""
        faults: dict[str, Sequence[Fault]] = {}
        try:
            alone = await self._register_together(files, faults)
            async with anyio.create_task_group() as tasks:
                for file in alone:
                    tasks.start_soon(self._register, file, faults)
            judged = [(file, faults[file.name]) for file in files if file.name in faults]
            outcomes = await run_sync(move_all, spool, judged, self._clock.now())
        finally:
            for file in files:
                if file.fd is not None:
                    os.close(file.fd)
        self._log_all(judged, outcomes)
        return [file for file in files if file.name not in faults]

    # ---- registering
    async def _register_together(
        self, files: Sequence[Complete], faults: dict[str, Sequence[Fault]]
    ) -> Sequence[Complete]:
        """Small files in one call, many times cheaper than one by one; the files that must be registered by themselves.

        A file that is refused refuses them all, and nothing was registered: then each is tried by itself.
        """
        small = [file for file in files if not file.faults and len(file.requests) <= _SMALL]
        if len(small) < 2:  # noqa: PLR2004  two are together
            return files
        try:
            await self._registrar.register([request for file in small for request in file.requests], source="drop")
        except InvalidWatch:
            return files
        except StoreUnavailable as error:
            self._cannot_write(error)
        else:
            self._unavailable = False
            faults.update((file.name, ()) for file in small)
        return [file for file in files if file.faults or len(file.requests) > _SMALL]

    async def _register(self, file: Complete, faults: dict[str, Sequence[Fault]]) -> None:
        """Put down the file's faults, or that it has none; nothing if it must be tried again."""
        if file.faults:
            faults[file.name] = file.faults
            return
        try:
            await self._registrar.register(file.requests, source=f"drop:{printable(file.name, 200)}")
        except InvalidWatch as error:
            faults[file.name] = error.faults
        except StoreUnavailable as error:
            self._cannot_write(error)
        else:
            self._unavailable = False
            faults[file.name] = ()

    def _cannot_write(self, error: StoreUnavailable) -> None:
        if not self._unavailable:
            self._unavailable = True
            _log.warning(log_events.STORE_UNAVAILABLE, why=str(error), note="dropped files stay, and are tried again")

    # ---- logging
    def _log_all(self, judged: Sequence[tuple[Complete, Sequence[Fault]]], outcomes: Sequence[Moved | OSError]) -> None:
        """If one file was accepted, a line for it; of many, one line for all, and their names for who debugs."""
        accepted: list[tuple[Complete, Moved]] = []
        for (file, faults), moved in zip(judged, outcomes, strict=True):
            if isinstance(moved, OSError):
                self._log_stuck(file, moved)
                continue
            self._stuck.pop(file.name, None)
            name, to = printable(file.name, 200), printable(moved.to, 300)
            if not moved.same:
                self._put_back(moved.to)
                _log.info(log_events.DROP_RETURNED, file=name, to=to, note="it changed while it was read")
            elif faults:
                shown = [str(fault) for fault in faults[:5]]
                _log.warning(log_events.DROP_REJECTED, file=name, to=to, count=len(faults), faults=shown)
            else:
                accepted.append((file, moved))
        log = _log.info if len(accepted) == 1 else _log.debug
        for file, moved in accepted:
            (_log.warning if file.held else log)(
                log_events.DROP_ACCEPTED,
                file=printable(file.name, 200),
                to=printable(moved.to, 300),
                watches=len(file.requests),
                **({"note": _KEPT_OPEN} if file.held else {}),
            )
        if len(accepted) > 1:
            _log.info(
                log_events.DROP_ACCEPTED,
                files=len(accepted),
                first=printable(accepted[0][0].name, 200),
                to=DONE,
                watches=sum(len(file.requests) for file, _ in accepted),
            )

    def _log_stuck(self, file: Complete, error: OSError) -> None:
        before, inode = self._stuck.get(file.name), file.key[0]
        self._stuck[file.name] = inode, reason(error)
        if before is None or before[0] != inode:
            _log.warning(
                log_events.DROP_STUCK,
                file=printable(file.name, 200),
                why=reason(error),
                note="if it is still there, it stays and is tried again",
            )


def log_late_write(name: str, logged: set[str]) -> None:
    """Of a file in done/: what is written to it there is not watched, though its writer expects it. Once for each file.

    A file is accepted when its writer closed it. But of another user's file nobody says whether it is open, and one
    that is kept open is accepted after a minute without change.
    """
    if not name or name in logged:
        return
    if len(logged) == _MOST_LATE:
        logged.clear()
    logged.add(name)
    _log.warning(log_events.DROP_CHANGED, file=printable(f"{DONE}/{name}", 300), note=_LATE)


# ---- in a worker thread -------------------------------------------------------------------------------------------
def move_all(spool: Spool, judged: Sequence[tuple[Complete, Sequence[Fault]]], now: datetime) -> list[Moved | OSError]:
    """Files without faults to done/, the others to rejected/ with the faults beside them.

    One answer for each file. One that could not be moved stays, and its answer is the error.
    """
    outcomes: list[Moved | OSError] = []
    for file, faults in judged:
        why = error_text(file.name, faults) if faults else ""
        try:
            outcomes.append(spool.move(file.name, file.fd, file.key, why, now=now, held=file.held))
        except OSError as error:
            outcomes.append(error)
    return outcomes


def error_text(name: str, faults: Sequence[Fault]) -> str:
    """What an .error file says."""
    lines = [f"{printable(name, 200)} was not accepted, and nothing in it was registered.", ""]
    lines += [
        ("" if f.line is None else f"line {f.line}: ") + (f"{f.path}: " if f.path else "") + f.message
        for f in faults[:_FAULTS]
    ]
    lines += ["", "Correct the file and drop it again."]
    return "\n".join(printable(line, 2_000) for line in lines) + "\n"
