"""Follows files of one directory through their renames: was it still being written under the name it had before?

A file is renamed in when it is whole; but a program may rename it, or have it renamed, while it holds it open. The
events of both names tell, also of another user's file, of which the kernel tells us nothing else. Memory only, bounded.
"""

from typing import Final

from notifier.intake import inotify

#: Names, and renames under way, that are remembered at most.
_MOST: Final = 10_000


class Renames:
    """`hear` is told of every event of the directory."""

    def __init__(self) -> None:
        #: Names that were written to and not closed since.
        self._written: set[str] = set()
        #: What ties the two events of a rename together, of files that were being written.
        self._moved: set[int] = set()

    def hear(self, mask: int, name: str, cookie: int) -> bool:
        """Of the second event of a rename: whether the file was still being written before; else False."""
        if mask & inotify.OVERFLOW or len(self._written) > _MOST or len(self._moved) > _MOST:
            self._written.clear()
            self._moved.clear()
        if mask & inotify.MODIFY:
            self._written.add(name)
        elif mask & inotify.CLOSE_WRITE:
            self._written.discard(name)
        elif mask & inotify.MOVED_FROM:
            if name in self._written:
                self._moved.add(cookie)
            self._written.discard(name)
        elif mask & inotify.MOVED_TO and cookie in self._moved:
            self._moved.discard(cookie)
            self._written.add(name)
            return True
        return False
