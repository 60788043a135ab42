"""Opens the drop directory, done/ and rejected/ in it, or says in one sentence why they must not be used. Blocking.

Members of the droppers' group may change what lies here while the daemon runs, and before it starts. So nothing that is
wrong here ends the daemon or keeps it from starting: the sentence, a `ConfigError`, stops this one source until it is
mended, and `notifier check` prints it. That holds for a directory that every user may write to as well: only its owner
can have made it so, but done/ may belong to whoever made it, and pending deliveries must go out in any case.
"""

import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Final

from notifier.domain.errors import ConfigError, Fault
from notifier.domain.os_errors import reason

DONE: Final = "done"
REJECTED: Final = "rejected"
SUBDIRECTORIES: Final = (DONE, REJECTED)
_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOUNT: Final = re.compile(r"^mnt_id:\s*(\d+)", re.MULTILINE)


def open_directory(directory: str) -> int:
    """A descriptor of the drop directory itself."""
    if not Path(directory).is_absolute():
        raise _refused(directory, "write the whole path, from /.")
    try:
        fd = os.open(directory, _OPEN)
    except FileNotFoundError:
        message = "there is no such directory; make it, with mode 3770 and a group for its users."
        raise _refused(directory, message) from None
    except OSError as error:
        raise _refused(directory, _not_opened(error)) from None
    return _kept(fd, unusable(fd, directory), directory)


def open_subdirectory(parent: int, name: str, directory: str) -> int:
    """A descriptor of done/ or rejected/, which is made if it is not there."""
    like = os.fstat(parent)
    try:
        os.mkdir(name, stat.S_IMODE(like.st_mode) & 0o1777, dir_fd=parent)  # sticky too: later we may not
    except FileExistsError:
        return _open_below(parent, name, f"{directory}/{name}")
    except OSError as error:
        message = f"it cannot be made: {reason(error)}; let notifier's user write to the directory."
        raise _refused(f"{directory}/{name}", message) from None
    return _open_below(parent, name, f"{directory}/{name}", like)


def examine(directory: str) -> None:
    """The same with nothing made: `ConfigError` if the daemon would take nothing from the directory."""
    fd = open_directory(directory)
    try:
        for name in SUBDIRECTORIES:
            with suppress(FileNotFoundError):
                os.close(_open_below(fd, name, f"{directory}/{name}"))
    finally:
        os.close(fd)


def unusable(fd: int, shown: str) -> str | None:
    """Why the open directory `fd`, called `shown`, must not be used, or cannot be; None if all is well."""
    if os.fstat(fd).st_mode & stat.S_IWOTH:
        return f"every user may write to it; chmod o-w {quote(shown)}, and use a group."
    if os.fstatvfs(fd).f_flag & os.ST_RDONLY:
        return "its file system is mounted read-only; mount it for writing."
    if not os.access(".", os.R_OK | os.W_OK | os.X_OK, dir_fd=fd, effective_ids=True):
        return f"notifier's user may not read, write or enter it; chmod ug+rwx {quote(shown)} or give it to that user."
    return None


def _mount(fd: int) -> str | None:
    """The mount it was opened through: two of one file system are two to rename. None if nobody says."""
    try:
        found = _MOUNT.search(Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="utf-8"))
    except OSError:
        return None
    return found and found[1]


def _open_below(parent: int, name: str, shown: str, like: os.stat_result | None = None) -> int:
    """`FileNotFoundError` if it is not there. With `like` it is new, and gets the group and mode of that.

    A file can only be moved at once, and never be seen half, within one mounted file system.
    """
    try:
        fd = os.open(name, _OPEN, dir_fd=parent)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _refused(shown, f"{_not_opened(error)} Remove it, or give it another name: notifier makes it.") from None
    if like is not None:
        _make_alike(fd, like)
    if os.fstat(fd).st_dev != os.fstat(parent).st_dev or _mount(fd) != _mount(parent):
        why = "it is on another file system than the drop directory; unmount it, so that it is a directory there."
        return _kept(fd, why, shown)
    return _kept(fd, unusable(fd, shown), shown)


def _not_opened(error: OSError) -> str:
    if isinstance(error, NotADirectoryError):
        return "it is no directory, or a link to one; links are not followed."
    if isinstance(error, PermissionError):
        return "it cannot be opened: permission denied; notifier's user must be let in, to read, write and enter it."
    return f"it cannot be opened: {reason(error)}."


def _kept(fd: int, why: str | None, shown: str) -> int:
    """`fd`; if something is wrong with it, it is closed and `ConfigError` raised."""
    if why is None:
        return fd
    os.close(fd)
    raise _refused(shown, why)


def _refused(directory: str, message: str) -> ConfigError:
    return ConfigError([Fault(path="drop.directory", message=f"{directory}: {message}")])


def _make_alike(fd: int, like: os.stat_result) -> None:
    """Give a new directory its parent's group and mode, if a setgid parent and the umask did not do so already.

    As far as we may: a group we are not in, or a service that may set no setgid bits, leaves a directory that works.
    """
    made = os.fstat(fd)
    with suppress(OSError):
        if made.st_gid != like.st_gid:
            os.fchown(fd, -1, like.st_gid)
        if stat.S_IMODE(made.st_mode) != stat.S_IMODE(like.st_mode):
            os.fchmod(fd, stat.S_IMODE(like.st_mode))
