"""Which files the patterns of `watch_files` name now, and what could not be looked at. Blocking.

`glob.glob` takes a directory that cannot be listed for an empty one; its files would count as taken away. Here that is
an answer of its own. Patterns are absolute; `*`, `?`, `[…]` and `**` are wildcards that match no hidden name, and no
name that editors and systems use for themselves: such a file is read only where a pattern names it whole.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from pathlib import Path
from typing import Final

from notifier.domain.os_errors import reason
from notifier.intake.file_names import ignored
from notifier.runtime.file_status import CannotLook, is_directory, status_of
from notifier.text.printable import printable

_MAGIC: Final = re.compile(r"[*?[]")
_EVERY_LEVEL: Final = "**"


@dataclass(slots=True, kw_only=True)
class Listing:
    """What is there."""

    #: Path -> its status, in the order of paths; None for a link that leads nowhere. Directories are none.
    files: dict[str, os.stat_result | None] = field(default_factory=dict)
    #: File or directory -> why it cannot be looked at.
    unseen: dict[str, str] = field(default_factory=dict)


def list_files(patterns: Iterable[str]) -> Listing:
    """Every file that the patterns name, once."""
    listing = Listing()
    for path in sorted({path for pattern in patterns for path in _expanded(pattern, listing.unseen)}):
        try:
            found = status_of(path)
        except CannotLook as error:
            listing.unseen[path] = printable(error.why, 600)
        else:
            if found is None or not stat.S_ISDIR(found.st_mode):
                listing.files[path] = found
    return listing


def list_directories(patterns: Iterable[str]) -> list[str]:
    """The directories that hold what the patterns name, as far as they can be found."""
    unseen: dict[str, str] = {}
    found = {path for pattern in patterns for path in _expanded(str(Path(pattern).parent), unseen)}
    return sorted(path for path in found if _may_be_watched(path))


def _may_be_watched(path: str) -> bool:
    try:
        return is_directory(path)
    except CannotLook:
        return False


def _expanded(pattern: str, unseen: dict[str, str]) -> Iterator[str]:
    """Every path, of a file or a directory, that the pattern names; those found in two ways come twice."""
    return _below("/", [part for part in pattern.split("/") if part], unseen)


def _below(base: str, parts: Sequence[str], unseen: dict[str, str]) -> Iterator[str]:
    if not parts:
        yield base
        return
    part, rest = parts[0], parts[1:]
    if part == _EVERY_LEVEL:
        yield from _every_level(base, rest, unseen, frozenset())
    elif _MAGIC.search(part):
        for name in _names(base, part, unseen):
            yield from _below(_joined(base, name), rest, unseen)
    elif rest:
        yield from _below(_joined(base, part), rest, unseen)
    elif _is_there(path := _joined(base, part), unseen):
        yield path


def _every_level(
    base: str, rest: Sequence[str], unseen: dict[str, str], inside: frozenset[tuple[int, int]]
) -> Iterator[str]:
    """`**`: this directory and all below it. As the last part it names every file there."""
    here = _identity(base)
    if here is None or here in inside:  # a link that leads back up
        return
    yield from _below(base, rest or ["*"], unseen)
    for entry in _entries(base, unseen):
        if not entry.name.startswith(".") and _may_be_directory(entry):
            yield from _every_level(entry.path, rest, unseen, inside | {here})


def _identity(directory: str) -> tuple[int, int] | None:
    """None where it is not there; that it cannot be looked at is told by listing it."""
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


def _names(base: str, part: str, unseen: dict[str, str]) -> Iterator[str]:
    matches = _pattern(part).match
    for entry in _entries(base, unseen):
        if matches(entry.name) and (part.startswith(".") or not ignored(entry.name)):
            yield entry.name


@lru_cache(maxsize=64)
def _pattern(part: str) -> re.Pattern[str]:
    return re.compile(translate(part))


def _entries(directory: str, unseen: dict[str, str]) -> list[os.DirEntry[str]]:
    """What lies in it: nothing where it is no directory, or is not there."""
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        unseen[directory] = f"cannot be listed: {reason(error)}"
        return []


def _is_there(path: str, unseen: dict[str, str]) -> bool:
    try:
        return status_of(path, follow=False) is not None
    except CannotLook as error:
        unseen[path] = printable(error.why, 600)
        return False


def _joined(base: str, name: str) -> str:
    return f"/{name}" if base == "/" else f"{base}/{name}"
