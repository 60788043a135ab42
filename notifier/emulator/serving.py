"""An aiohttp application on a local address, for as long as a block lasts or until a signal ends the process."""

import errno
import importlib.util
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, TypeVar

import anyio
from aiohttp import web

from notifier.domain.errors import NotifierError
from notifier.emulator.settings import MAX_LINE

T = TypeVar("T")
#: Seconds that requests in progress get when the block ends.
_GRACE: Final = 1.0


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve `app`; yields its URL without a slash at the end. Port 0 takes a free one.

    `NotifierError` if it cannot listen. If a client goes away, its handler ends, so that no
    long-poll outlives its client.
    """
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=True, shutdown_timeout=_GRACE, max_line_size=MAX_LINE
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise NotifierError(f"Cannot listen on {host}:{port}: {_why(error)}") from error
        name, bound = runner.addresses[0][:2]
        yield f"http://[{name}]:{bound}" if ":" in name else f"http://{name}:{bound}"
    finally:
        await runner.cleanup()


def _why(error: OSError) -> str:
    """What is wrong with the address, and which part of it to change; the loop's own words repeat the address."""
    if isinstance(error, socket.gaierror):
        return "no such host is known. Choose another host."
    match error.errno:
        case errno.EADDRINUSE:
            return "something listens there already. Choose another port."
        case errno.EACCES | errno.EPERM:
            return "this user may not. Choose a port from 1024 on."
        case errno.EADDRNOTAVAIL | None:
            return "that is no address of this machine. Choose another host."
        case code:
            return f"{os.strerror(code)}. Choose another host or port."


def run_until_stopped(server: AbstractAsyncContextManager[T], announce: Callable[[T], None]) -> None:
    """Serve in this process until Ctrl-C or SIGTERM; `announce` is called once it listens."""

    async def run() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with server as served:
                announce(served)
                async for _ in signals:
                    return

    anyio.run(run, backend_options={"use_uvloop": importlib.util.find_spec("uvloop") is not None})
