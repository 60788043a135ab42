"""The emulated API over HTTP for as long as a block lasts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from notifier.emulator.admin import Admin
from notifier.emulator.routes import Routes
from notifier.emulator.serving import serving
from notifier.emulator.settings import EmulatorSettings
from notifier.emulator.upstream import Emulator
from notifier.runtime.clock import Clock


@asynccontextmanager
async def serve_emulator(
    settings: EmulatorSettings | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    clock: Clock | None = None,
) -> AsyncIterator[Emulator]:
    """Serve an emulated API; yields the `Emulator` with its `url`. At the end waiting requests are answered at once.

    `NotifierError` if it cannot listen there.
    """
    emulator = Emulator(settings or EmulatorSettings(), clock)
    # a list of a million IDs is for the admin route only, but the limit is the application's
    app = web.Application(client_max_size=128 << 20)
    Admin(emulator).add_to(app)
    Routes(emulator).add_to(app)
    async with serving(app, host, port) as emulator.url:
        try:
            yield emulator
        finally:
            emulator.close()
