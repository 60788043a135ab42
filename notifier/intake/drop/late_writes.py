"""Tells of files that are written to after they were accepted: what comes then is not watched, and somebody meant it.

A file is taken once its writer closed it; but of another user's file nobody says whether it is open, and one that is
kept open is not waited for for ever. Such a writer goes on in done/, where nobody reads. Each file is told of once.
"""

from contextlib import suppress
from typing import Final

import structlog

from notifier.intake.drop import inotify
from notifier.intake.drop.spool import Spool
from notifier.intake.drop.subdirectories import DONE
from notifier.runtime import log_events
from notifier.text.printable import printable

_log = structlog.get_logger()

#: Names that are remembered at most.
_MOST: Final = 10_000
_NOTE: Final = (
    "a program wrote to it after it was accepted, and what it wrote is not watched: close a file when it is whole, or "
    "write it as x.tmp and rename it; what is new, drop again as another file"
)


async def tell_late_writes(spool: Spool) -> None:
    """Until cancelled. Without inotify nothing is told here; the drop directory's own says why."""
    with suppress(OSError), inotify.Inotify(spool.below(DONE), inotify.MODIFY) as source:
        told: set[str] = set()
        while True:
            for _, name, _ in await source.events():
                if name and name not in told:
                    if len(told) == _MOST:
                        told.clear()
                    told.add(name)
                    _log.warning(log_events.DROP_CHANGED, file=printable(f"{DONE}/{name}", 300), note=_NOTE)
