"""What inotify tells, and why it cannot be used, in words that say what to do."""

import errno
import os
from contextlib import closing
from pathlib import Path

import pytest

from notifier.intake.inotify import CREATE, MOVED_FROM, MOVED_TO, Inotify, why


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.EMFILE, "fs.inotify.max_user_instances"),
        (errno.ENOSPC, "fs.inotify.max_user_watches"),
        (errno.ENOSYS, "this system has no inotify"),
        (errno.EACCES, "permission denied"),
        (errno.EBADF, "bad file descriptor"),
    ],
)
def test_a_limit_that_is_used_up_is_named_with_its_cure(code: int, words: str) -> None:
    """Never by its number; what has no cure of its own is named in the system's words."""
    assert words in why(OSError(code, os.strerror(code)))


async def test_one_instance_tells_of_several_directories(tmp_path: Path) -> None:
    """By the number of each, which two paths to one directory share; the events of a rename share a cookie."""
    a, c, link = tmp_path / "a", tmp_path / "c", tmp_path / "b"
    a.mkdir()
    c.mkdir()
    link.symlink_to(a)
    with closing(Inotify()) as source:
        first, other = source.add(str(a)), source.add(str(c))
        assert source.add(str(link)) == first != other
        (c / "x").mkdir()
        (c / "x").rename(a / "y")
        made, left, came = await source.events()
        assert (made.watch, made.mask & CREATE, made.name) == (other, CREATE, "x")
        assert (left.watch, left.mask & MOVED_FROM, left.name) == (other, MOVED_FROM, "x")
        assert (came.watch, came.mask & MOVED_TO, came.name) == (first, MOVED_TO, "y")
        assert left.cookie == came.cookie != 0


async def test_what_is_no_directory_is_not_watched(tmp_path: Path) -> None:
    """A file, or nothing: an error, as for a limit."""
    (tmp_path / "file").touch()
    with closing(Inotify()) as source:
        with pytest.raises(NotADirectoryError):
            source.add(str(tmp_path / "file"))
        with pytest.raises(FileNotFoundError):
            source.add(str(tmp_path / "none"))
