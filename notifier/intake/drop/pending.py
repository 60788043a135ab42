"""Which names of the drop directory are inspected next: what its events and scans say of each. No I/O.

Whether a file is complete is `inspect_file`'s question; the answers that only events can give are kept here, in a
`Waiting` for each name. Events may be lost, and a scan cannot: after a scan, or lost events, every name is inspected.

- A file is renamed in when it is whole. But a program may rename it, or have it renamed, while it has it open: the
  events of both names tell that, and for another user's file the kernel tells nothing else. Names are followed through
  their renames for that.
- Large files are read one at a time, while small ones go on beside them. A file waits for those of its size that came
  before it, and for smaller ones that came a little later: a second for each MiB that it is larger. So a small file
  passes large ones, and none waits for ever.

`now` is monotonic, in seconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from notifier.intake import inotify
from notifier.intake.drop.inspect_file import Waiting
from notifier.intake.file_names import ignored

#: Bytes of a file that is read in a second.
_BYTES_A_SECOND: Final = 1024 * 1024
#: Names, and renames under way, that are followed at most.
_MOST: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Large:
    waiting: Waiting
    #: When it is due: when it came, and a second for each MiB.
    turn: float


class PendingFiles:
    """The names that are not dealt with yet."""

    def __init__(self) -> None:
        self._waiting: dict[str, Waiting] = {}
        #: Names that events or a scan gave since the last pass.
        self._noticed: set[str] = set()
        #: Large files that are complete.
        self._large: dict[str, _Large] = {}
        #: Names under which files were put back: renamed in, but not complete by that.
        self._put_back: set[str] = set()
        #: Names that were written to and not closed since.
        self._written: set[str] = set()
        #: Cookies of renames under way, of files that were being written.
        self._moved: set[int] = set()

    def clear(self) -> None:
        """Another directory is served now."""
        self._waiting.clear()
        self._large.clear()

    # ---- what events and scans say
    def scanned(self, names: Iterable[str]) -> None:
        self._noticed.update(names)

    def put_back(self, name: str) -> None:
        """The next rename to this name is ours."""
        self._put_back.add(name)

    def handle(self, event: inotify.Event, *, now: float) -> bool:
        """Note one event. True if events were lost, or the directory is gone: then a scan is due."""
        mask, name = event.mask, event.name
        still_written = self._follow(event)
        if mask & (inotify.OVERFLOW | inotify.GONE):
            for waiting in self._waiting.values():  # what events said of their writers may not hold any more
                waiting.made, waiting.written = False, None
            return True
        if not name or ignored(name) or mask & inotify.MOVED_FROM:
            return False
        self._noticed.add(name)
        if mask & inotify.MOVED_TO:
            self._waiting[name] = Waiting(renamed=name not in self._put_back, written=still_written or None)
            self._put_back.discard(name)
        elif mask & inotify.CREATE:
            self._waiting[name] = Waiting(made=True)
        elif mask & inotify.CLOSE_WRITE:
            waiting = self._waiting.setdefault(name, Waiting())
            waiting.made = waiting.written = False
            waiting.since = now  # it settles from now on, however long it was kept open
        elif mask & inotify.MODIFY:
            self._waiting.setdefault(name, Waiting()).written = True
        return False

    def _follow(self, event: inotify.Event) -> bool:
        """For the second event of a rename: whether the file was still being written under its name before."""
        if event.mask & inotify.OVERFLOW or len(self._written) > _MOST or len(self._moved) > _MOST:
            self._written.clear()
            self._moved.clear()
        if event.mask & inotify.MODIFY:
            self._written.add(event.name)
        elif event.mask & inotify.CLOSE_WRITE:
            self._written.discard(event.name)
        elif event.mask & inotify.MOVED_FROM:
            if event.name in self._written:
                self._moved.add(event.cookie)
            self._written.discard(event.name)
        elif event.mask & inotify.MOVED_TO and event.cookie in self._moved:
            self._moved.discard(event.cookie)
            self._written.add(event.name)
            return True
        return False

    # ---- what is next
    def noticed(self) -> bool:
        """Whether events or a scan named a file since `due` was last asked."""
        return bool(self._noticed)

    def due(self, now: float) -> list[tuple[str, Waiting]]:
        """What to inspect now: the names that were noticed, and those whose time has come; no large ones."""
        noticed, self._noticed = self._noticed - self._large.keys(), self._noticed & self._large.keys()
        for name in noticed:
            self._waiting.setdefault(name, Waiting())
        return [
            (name, waiting)
            for name, waiting in self._waiting.items()
            if name not in self._large and (name in noticed or waiting.due_in(now) <= 0)
        ]

    def next_in(self, now: float, *, most: float) -> float:
        """Seconds until one is due, if no event comes before."""
        ahead = (waiting.due_in(now) for name, waiting in self._waiting.items() if name not in self._large)
        return min(ahead, default=most)

    def done(self, name: str, waiting: Waiting) -> None:
        """It is settled; unless another file of that name came meanwhile."""
        if self._waiting.get(name) is waiting:
            del self._waiting[name]

    def retry(self, name: str) -> None:
        """It is complete, only not registered yet."""
        self._waiting.setdefault(name, Waiting(renamed=True))

    # ---- large files
    def add_large(self, name: str, waiting: Waiting, size: int, *, now: float) -> None:
        """It waits for its turn from now on; `size` in bytes."""
        self._large.setdefault(name, _Large(waiting=waiting, turn=now + size / _BYTES_A_SECOND))

    def next_large(self) -> tuple[str, Waiting] | None:
        """The one to read now."""
        name = min(self._large, key=lambda name: self._large[name].turn, default=None)
        return None if name is None else (name, self._large[name].waiting)

    def end_turn(self, name: str) -> None:
        del self._large[name]
