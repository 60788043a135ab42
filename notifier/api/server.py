"""Serves the API at a unix socket: makes its file, takes it over from a daemon that died, removes it at the end.

The file alone decides who may ask: 0660, so the daemon's user and group, and the directory it is in. A socket at which
a daemon answers is never replaced; one without an answer was left behind by a killed daemon.

Each connection is a descriptor, and the store and the callbacks need theirs. So their number has a limit, and so has
the time until all of a request is here. Beyond the limit the oldest connection without a whole request is closed for
the new one: many open connections without a request do not shut out one that has a request.
"""

import asyncio
import contextlib
import errno
import logging
import os
import resource
import socket
import stat
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import anyio
from aiohttp import web
from anyio.abc import TaskStatus

from notifier.api.routes import IN_PROGRESS, WHOLE_WITHIN
from notifier.api.socket_path import LONGEST
from notifier.domain.errors import ConfigError, Fault
from notifier.runtime.file_status import CannotLook, is_directory, status_of

_MODE: Final = 0o660
#: For what aiohttp logs about requests that are not HTTP: the sender is answered, and the operator need not know.
_QUIET: Final = logging.getLogger("notifier.api")
_QUIET.setLevel(logging.CRITICAL + 1)
#: Seconds that requests in progress get at the end; aiohttp waits for them twice as long, and then cancels them.
_GRACE: Final = 1.0
#: Seconds for all of the end.
_END: Final = 2 * _GRACE + 1
#: Connections at a time, at most; and at most such a part of the files that this process may have open.
MOST: Final = 64
_PART: Final = 8
#: Connections that wait to be accepted.
_BACKLOG: Final = 32
#: Seconds that a refused connection stays open: one that is closed at once may not read why.
_LAST_WORDS: Final = 1.0
_FULL: Final = b'{"error":"Too many requests are carried out at this moment: ask again in a few seconds."}'
_REFUSAL: Final = b"\r\n".join(
    [
        b"HTTP/1.1 503 Service Unavailable",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(_FULL),
        b"Connection: close",
        b"",
        _FULL,
    ]
)


def obstacle(path: str) -> str | None:
    """Why no daemon could listen at `path` now, as a sentence that says what to do; None if it could.

    A daemon that listens there already is no obstacle.
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


def most_connections(files: int) -> int:
    """How many connections there may be if the process may have `files` files open."""
    return MOST if files < 0 else max(1, min(MOST, files // _PART))


class _Refused(asyncio.Protocol):
    """A connection for which there is no room: it is answered so, and closed."""

    def __init__(self, open_: set[asyncio.Transport]) -> None:
        self._open = open_

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods only
        self._open.add(self._transport)
        self._transport.write(_REFUSAL)
        self._end = asyncio.get_running_loop().call_later(_LAST_WORDS, transport.close)

    def connection_lost(self, _: Exception | None) -> None:
        self._end.cancel()
        self._open.discard(self._transport)


class _Connections:
    """Makes the protocol of each new connection."""

    def __init__(self, server: web.Server, in_progress: Container[object], most: int) -> None:
        self._server = server
        self._in_progress = in_progress
        self._most = most
        self._refused: set[asyncio.Transport] = set()

    def close(self) -> None:
        for transport in self._refused:
            transport.close()

    def __call__(self) -> asyncio.Protocol:
        there = [each for each in self._server.connections if each.transport and not each.transport.is_closing()]
        if len(there) >= self._most:
            idle = next((each for each in there if each not in self._in_progress), None)
            if idle is None:
                return _Refused(self._refused)
            idle.force_close()
        return self._server()


class Server:
    """Serves `app` at `path`."""

    def __init__(self, app: web.Application, path: str, *, most: int | None = None) -> None:
        self._app = app
        self._path = path
        self._most = most_connections(resource.getrlimit(resource.RLIMIT_NOFILE)[0]) if most is None else most

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. `ConfigError` if it cannot listen; started once it does."""
        runner = web.AppRunner(
            self._app,
            access_log=None,
            logger=_QUIET,
            shutdown_timeout=_GRACE,
            keepalive_timeout=WHOLE_WITHIN,  # also for the head of a first request
            lingering_time=_LAST_WORDS,
        )
        await runner.setup()
        try:
            with _socket_at(self._path) as listening:
                assert runner.server is not None, "it is set up"
                in_progress: set[object] = self._app[IN_PROGRESS]
                connections = _Connections(runner.server, in_progress, self._most)
                loop = asyncio.get_running_loop()
                server = await loop.create_unix_server(connections, sock=listening, backlog=_BACKLOG)
                task_status.started()
                try:
                    await anyio.sleep_forever()
                finally:
                    server.close()
                    connections.close()
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
            Path(path).chmod(_MODE)  # before it listens, so that no connection is made under another mode
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
    """Remove what a killed daemon left behind; `ConfigError` if a daemon answers."""
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
