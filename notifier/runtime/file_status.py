"""What is at a path: something, nothing, or "unknown" with the reason. Blocking.

`Path.exists`, `is_dir`, `is_file` and `glob` have two answers only: for some errors they say "no", others they raise,
and which ones depends on Python's version. After a wrong "no" the daemon would forget a file that exists, and an
unexpected error would end it. So the daemon and its commands ask here. The answer is "nothing" only if the system says
so (ENOENT, ENOTDIR).
"""

import errno
import os
import stat
from pathlib import Path
from typing import Final

from notifier.domain.errors import NotifierError
from notifier.domain.os_errors import reason

_NOTHING: Final = (errno.ENOENT, errno.ENOTDIR)


class CannotLook(NotifierError):
    """It is unknown whether something is there. The sentence names the path; `why` does not."""

    def __init__(self, path: str | Path, why: str) -> None:
        super().__init__(f"{path} {why}")
        self.why = why


def status_of(path: str | Path, *, follow: bool = True) -> os.stat_result | None:
    """What is at `path`, behind its links unless `follow` is false; None if nothing is. Raises `CannotLook`."""
    try:
        return os.stat(path, follow_symlinks=follow)  # noqa: PTH116  one call for both kinds of path
    except OSError as error:
        if error.errno in _NOTHING:
            return None
        raise CannotLook(path, f"cannot be looked at: {_why(error, str(path))}") from None
    except ValueError:  # a NUL in it
        raise CannotLook(ascii(str(path)), "cannot be the path of anything") from None


def is_directory(path: str | Path) -> bool:
    """False if there is something else, or nothing. Raises `CannotLook`."""
    found = status_of(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def _why(error: OSError, path: str) -> str:
    """The reason; it names the directory that this user may not enter, which is often far above the file."""
    if error.errno != errno.EACCES:
        return reason(error)
    for directory in reversed(Path(path).absolute().parents):
        if not os.access(directory, os.X_OK, effective_ids=True):
            return f"this user may not enter {directory}"
    return "its link leads into a directory that this user may not enter"
