"""Tells that something changed in the directories of the watch files, so that nobody waits for the next rescan.

Which directories these are may change at any time. So each pass over the files names them again: a new one is watched
before it is listed, so that no change falls between the two, and one that is not named any more is let go.

Without inotify, or for a directory for which it has no watch left, the rescan finds every change. Each reason is logged
once.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        #: Numbers of the directories that the last pass named.
        self._watched: set[int] = set()
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
        with source:
            self._source = source
            try:
                yield
            finally:
                self._source, self._watched = None, set()

    @contextmanager
    def renewed(self) -> Iterator[Callable[[str], None]]:
        """For one pass: a function that watches a directory. What it was not called for is not watched afterwards."""
        source, watched = self._source, set[int]()
        if source is None:
            yield lambda _: None
            return

        def watch(directory: str) -> None:
            try:
                watched.add(source.add(directory, _CHANGES))
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError as error:
                self._log(error)

        yield watch
        for left in self._watched - watched:
            source.remove(left)
        self._watched = watched

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
