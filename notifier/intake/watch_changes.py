"""Tells that something changed in the directories of the watch files, so that nobody waits for the next rescan.

Which directories these are may change at any time. So each pass over the files names them again, and a new one is
watched before it is listed: no change falls between the two. One that is not named any more stays watched as long as it
exists; that costs a pass that finds nothing.

Without inotify, or for a directory for which it has no watch left, the rescan finds every change. Each reason is logged
once.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Final

import anyio

from notifier.intake import inotify

_CHANGES: Final = inotify.CHANGES | inotify.DELETE
#: Seconds. An editor makes a few events of one change: it is over when none came for `_QUIET`, or after `_LONGEST`.
_QUIET: Final = 0.02
_LONGEST: Final = 0.2


class WatchChanges:
    """Watches nothing until it is opened."""

    def __init__(self) -> None:
        self._source: inotify.Inotify | None = None
        #: Why directories cannot be watched, as far as was logged.
        self._logged: set[str] = set()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """No worker thread may use it when the block ends."""
        try:
            source = inotify.Inotify()
        except OSError as error:
            self._log(error)
            yield
            return
        with closing(source):
            self._source = source
            yield

    def watch(self, directory: str) -> None:
        """For any thread. No harm if it is watched already, is not there, or is no directory."""
        if self._source is None:
            return
        try:
            with suppress(FileNotFoundError, NotADirectoryError):
                self._source.add(directory, _CHANGES)
        except OSError as error:
            self._log(error)

    async def run(self, notify: Callable[[], None]) -> None:
        """Call `notify` after each change, until cancelled."""
        source = self._source
        while source is not None:
            await source.events()
            with anyio.move_on_after(_LONGEST):
                more = True
                while more:
                    with anyio.move_on_after(_QUIET) as quiet:
                        await source.events()
                    more = not quiet.cancelled_caught
            notify()

    def _log(self, error: OSError) -> None:
        if (why := inotify.why(error)) not in self._logged:
            self._logged.add(why)
            inotify.log_unavailable("watch_files", error)
