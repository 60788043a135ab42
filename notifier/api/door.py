"""The socket's file: made, guarded, taken over from a daemon that died, and removed at the end.

Who may ask is decided by the file alone: 0660, so the daemon's user and group, and by the directory it is in. A socket
that somebody answers at is never replaced; one that nobody answers at is what a killed daemon left behind.
"""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import anyio
from aiohttp import web
from anyio.abc import TaskStatus

from notifier.api.place import LONGEST
from notifier.errors import ConfigError, Fault
from notifier.file_status import CannotLook, is_directory, status_of

_MODE: Final = 0o660
#: What aiohttp says of requests that are no HTTP: whoever sent them is told, and the operator need not be.
_QUIET: Final = logging.getLogger("notifier.api")
_QUIET.setLevel(logging.CRITICAL + 1)
#: Seconds that requests under way get at the end; aiohttp waits for them twice as long, and then cancels them.
_GRACE: Final = 1.0
#: Seconds for all of the end.
_END: Final = 2 * _GRACE + 1


def obstacle(path: str) -> str | None:
    """Why no daemon could listen at `path` now, as a sentence that says what to do; None where it could.

    A daemon that listens there is no obstacle to itself, and is not spoken of.
    """
    if len(os.fsencode(path)) > LONGEST:
        return f"{path} is longer than a socket's path may be, {LONGEST} bytes: set api.listen to a shorter one."
    directory = Path(path).parent
    try:
        if not is_directory(directory):
            return f"Directory {directory} does not exist: make it, owned by the user that runs notifier."
        found = status_of(path, follow=False)
    except CannotLook as error:
        return f"{error}: run notifier as a user that may, or set api.listen to another path."
    if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        return f"Directory {directory} cannot be written by this user: no socket can be made there."
    if found is None or stat.S_ISSOCK(found.st_mode):
        return None
    return f"{path} is there, and is no socket: remove it, or set api.listen to another path."


class Door:
    """Serves `app` at `path`."""

    def __init__(self, app: web.Application, path: str) -> None:
        self._app = app
        self._path = path

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. `ConfigError` where it cannot listen; started once it does."""
        runner = web.AppRunner(self._app, access_log=None, logger=_QUIET, shutdown_timeout=_GRACE)
        await runner.setup()
        try:
            with _socket_at(self._path) as listening:
                assert runner.server is not None, "it is set up"
                server = await asyncio.get_running_loop().create_unix_server(runner.server, sock=listening)
                task_status.started()
                try:
                    await anyio.sleep_forever()
                finally:
                    server.close()
        finally:
            with anyio.move_on_after(_END, shield=True):
                await runner.cleanup()


@contextmanager
def _socket_at(path: str) -> Iterator[socket.socket]:
    """A socket that listens at `path` as long as the block lasts."""
    if sentence := obstacle(path):
        raise _refused(sentence)
    try:
        _clear(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            listening.bind(path)
            Path(path).chmod(_MODE)  # before it listens: nobody came in through another mode
            listening.listen()
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise _refused(f"No socket can be made at {path}: {error.strerror or error}.") from error
    made = _identity(path)
    try:
        yield listening
    finally:
        if made is not None and _identity(path) == made:
            Path(path).unlink(missing_ok=True)
        listening.close()


def _clear(path: str) -> None:
    """Remove what a killed daemon left behind; `ConfigError` where somebody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as asking:
        code = asking.connect_ex(path)
    if code in (0, errno.EAGAIN):
        raise _refused(
            f"Something listens at {path} already: stop the other daemon, or set api.listen to another path."
        )
    if code == errno.ECONNREFUSED:
        Path(path).unlink(missing_ok=True)


def _identity(path: str) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        found = Path(path).lstat()
        return found.st_dev, found.st_ino
    return None


def _refused(sentence: str) -> ConfigError:
    return ConfigError([Fault(path="api.listen", message=sentence)])
