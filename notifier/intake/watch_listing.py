"""Which files the patterns of `watch_files` name now, and what could not be looked at. Blocking.

`glob.glob` takes a directory that cannot be listed for an empty one; its files would count as taken away. Here that is
an answer of its own. Patterns are absolute; `*`, `?`, `[…]` and `**` are wildcards that match no hidden name, and no
name that editors and systems use for themselves: such a file is read only if a pattern names it whole.
"""

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from typing import Final

from notifier.domain.os_errors import reason
from notifier.intake.file_names import ignored
from notifier.runtime.file_status import CannotLook, status_of
from notifier.text.printable import printable

_MAGIC: Final = re.compile(r"[*?[]")
_EVERY_LEVEL: Final = "**"


@dataclass(slots=True, kw_only=True)
class Listing:
    """What is there."""

    #: Path -> its status, in the order of paths; None for a link that leads nowhere. No directories.
    files: dict[str, os.stat_result | None] = field(default_factory=dict)
    #: File or directory -> why it cannot be looked at.
    unseen: dict[str, str] = field(default_factory=dict)


def list_files(patterns: Iterable[str], enter: Callable[[str], object] = lambda _: None) -> Listing:
    """Every file that the patterns name, once.

    `enter` is called with each directory in which a name may match a pattern's last part, before it is looked into.
    """
    search = _Search(enter)
    listing = Listing(unseen=search.unseen)
    for path in sorted({path for pattern in patterns for path in search.expand(pattern)}):
        try:
            found = status_of(path)
        except CannotLook as error:
            listing.unseen[path] = printable(error.why, 600)
        else:
            if found is None or not stat.S_ISDIR(found.st_mode):
                listing.files[path] = found
    return listing


class _Search:
    """Every path, of a file or a directory, that a pattern names; one that is found in two ways comes twice."""

    def __init__(self, enter: Callable[[str], object]) -> None:
        self.unseen: dict[str, str] = {}
        self._enter = enter

    def expand(self, pattern: str) -> Iterator[str]:
        return self._below("/", [part for part in pattern.split("/") if part])

    def _below(self, base: str, parts: Sequence[str]) -> Iterator[str]:
        if not parts:
            yield base
            return
        part, rest = parts[0], parts[1:]
        if part == _EVERY_LEVEL:
            yield from self._every_level(base, rest, frozenset())
            return
        if not rest:
            self._enter(base)
        if _MAGIC.search(part):
            matches = _pattern(part).match
            for entry in self._entries(base):
                if matches(entry.name) and (part.startswith(".") or not ignored(entry.name)):
                    yield from self._below(_joined(base, entry.name), rest)
        elif rest:
            yield from self._below(_joined(base, part), rest)
        elif self._is_there(path := _joined(base, part)):
            yield path

    def _every_level(self, base: str, rest: Sequence[str], inside: frozenset[tuple[int, int]]) -> Iterator[str]:
        """`**`: this directory and all below it. As the last part it names every file there."""
        here = _identity(base)
        if here is None or here in inside:  # a link that leads back up
            return
        yield from self._below(base, rest or ["*"])
        for entry in self._entries(base):
            if not entry.name.startswith(".") and _may_be_directory(entry):
                yield from self._every_level(entry.path, rest, inside | {here})

    def _entries(self, directory: str) -> list[os.DirEntry[str]]:
        """What lies in it: nothing if it is no directory, or is not there."""
        try:
            with os.scandir(directory) as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self.unseen[directory] = f"cannot be listed: {reason(error)}"
            return []

    def _is_there(self, path: str) -> bool:
        try:
            return status_of(path, follow=False) is not None
        except CannotLook as error:
            self.unseen[path] = printable(error.why, 600)
            return False


def _identity(directory: str) -> tuple[int, int] | None:
    """None if it is not there; that it cannot be looked at is found by listing it."""
    try:
        found = status_of(directory)
    except CannotLook:
        return (0, 0)
    return None if found is None else (found.st_dev, found.st_ino)


def _may_be_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False) or entry.is_symlink()
    except OSError:  # then listing it fails, and says why
        return True


@lru_cache(maxsize=64)
def _pattern(part: str) -> re.Pattern[str]:
    return re.compile(translate(part))


def _joined(base: str, name: str) -> str:
    return f"/{name}" if base == "/" else f"{base}/{name}"
