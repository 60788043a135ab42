"""What becomes of complete drop files: their watches are registered, then they are moved, and both is told.

Small files are registered in one call (10,000 of them: 0.4 s, against 1.5 s one by one), large ones side by side. What
cannot be registered *now* (`StoreUnavailable`) stays and is tried again; only what its sender must correct is moved to
rejected/, with the reasons beside it. What cannot be moved stays registered, and is told of once, as long as it lies
there.
"""

import os
from collections.abc import Collection, Sequence
from typing import Final

import anyio
import structlog
from anyio.to_thread import run_sync

from notifier.domain.errors import Fault, InvalidWatch, StoreUnavailable
from notifier.domain.os_errors import reason
from notifier.intake.drop.departure import move_all
from notifier.intake.drop.inspect_file import Taken
from notifier.intake.drop.spool import Moved, Spool
from notifier.intake.drop.subdirectories import DONE
from notifier.intake.registrar import RegistrarPort
from notifier.runtime import log_events
from notifier.runtime.clock import Clock
from notifier.text.printable import printable

_log = structlog.get_logger()

#: Watches in a file, at most, that is registered together with others.
_SMALL: Final = 10


class Acceptance:
    """Registers files by `registrar`."""

    def __init__(self, registrar: RegistrarPort, *, clock: Clock) -> None:
        self._registrar = registrar
        self._clock = clock
        #: True while the store cannot write, as far as was logged.
        self._unavailable = False
        #: Name -> inode and reason, of what could not be moved.
        self._stuck: dict[str, tuple[int, str]] = {}
        #: Names under which files were put back: renamed in, but not complete by that.
        self._returned: set[str] = set()

    def was_returned(self, name: str) -> bool:
        """Whether the next rename to this name was ours; asked once for each."""
        ours = name in self._returned
        self._returned.discard(name)
        return ours

    def forget(self, *, but: Collection[str]) -> None:
        """Of all other names nothing lies there any more."""
        self._stuck = {name: why for name, why in self._stuck.items() if name in but}

    def trouble(self) -> str | None:
        """Why files that were registered do not leave; None where all do."""
        if not self._stuck:
            return None
        name, (_, why) = next(iter(self._stuck.items()))
        others = f" and {len(self._stuck) - 1} more" if len(self._stuck) > 1 else ""
        return f"{printable(name, 100)}{others} cannot be moved away: {why}"

    async def deal_with(self, spool: Spool, taken: Sequence[Taken]) -> list[Taken]:
        """Register what can be, move what is settled; the rest, because the store cannot write now."""
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
        return [one for one in taken if one.name not in faults]

    # ---- registering
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
            _log.warning(log_events.STORE_UNAVAILABLE, why=str(error), note="dropped files stay, and are tried again")

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

    # ---- telling
    def _tell_all(self, judged: Sequence[tuple[Taken, Sequence[Fault]]], outcomes: Sequence[Moved | OSError]) -> None:
        """Of accepted files a line each where that is one; of many, one for all, and their names for who debugs."""
        accepted: list[tuple[Taken, Moved]] = []
        for (one, why), moved in zip(judged, outcomes, strict=True):
            if isinstance(moved, OSError):
                self._tell_stuck(one, moved)
                continue
            self._stuck.pop(one.name, None)
            if moved.same and not why:
                accepted.append((one, moved))
            else:
                self._tell(one, why, moved)
        log = _log.info if len(accepted) == 1 else _log.debug
        for one, moved in accepted:
            late = {"note": _STILL_OPEN} if one.held else {}
            (_log.warning if one.held else log)(
                log_events.DROP_ACCEPTED,
                file=printable(one.name, 200),
                to=printable(moved.to, 300),
                watches=len(one.requests),
                **late,
            )
        if len(accepted) > 1:
            _log.info(
                log_events.DROP_ACCEPTED,
                files=len(accepted),
                first=printable(accepted[0][0].name, 200),
                to=DONE,
                watches=sum(len(one.requests) for one, _ in accepted),
            )

    def _tell_stuck(self, one: Taken, error: OSError) -> None:
        before, inode = self._stuck.get(one.name), one.key[0]
        self._stuck[one.name] = inode, reason(error)
        if before is None or before[0] != inode:
            _log.warning(
                log_events.DROP_STUCK,
                file=printable(one.name, 200),
                why=reason(error),
                note="where it is still there, it stays and is tried again",
            )

    def _tell(self, one: Taken, why: Sequence[Fault], moved: Moved) -> None:
        name, to = printable(one.name, 200), printable(moved.to, 300)
        if not moved.same:
            self._returned.add(moved.to)
            _log.info(log_events.DROP_RETURNED, file=name, to=to, note="it changed while it was read")
            return
        shown = [str(fault) for fault in why[:5]]
        _log.warning(log_events.DROP_REJECTED, file=name, to=to, count=len(why), faults=shown)


_STILL_OPEN: Final = (
    "a program has kept it open for a minute without writing to it, so it was taken as it is; what is written to it "
    "now is not seen: close a file when it is whole"
)
