"""Where new work comes from: the watch files, the drop directory and the API's socket. Opened last, closed first."""

import os
from collections.abc import Awaitable, Callable, Mapping

import anyio
import structlog
from aiohttp import web
from anyio.abc import TaskGroup, TaskStatus

from notifier.api.server import Server
from notifier.api.socket_path import usual_path
from notifier.daemon.configured import Configured
from notifier.domain.errors import ConfigError
from notifier.intake.drop.directory import DropDirectory
from notifier.intake.registrar import Registrar
from notifier.intake.watch_files import WatchFiles
from notifier.runtime import log_events
from notifier.runtime.clock import Clock
from notifier.runtime.health import Health
from notifier.runtime.wakeup import Wakeup

_log = structlog.get_logger()


class Sources:
    """Their methods may be called before `start`: then nothing is open, and there is no trouble."""

    def __init__(self, configured: Configured, *, clock: Clock, health: Health) -> None:
        self._configured = configured
        self._clock = clock
        self._health = health
        #: Notified when the drop directory, and the watch files, are to be read again.
        self.rescan, self.reread = Wakeup(), Wakeup()
        self._files: WatchFiles | None = None
        self._drop: DropDirectory | None = None
        #: Those that are open.
        self._scopes: dict[str, anyio.CancelScope] = {}
        health.at_recovery(self._try_files_again)

    async def start(self, loops: TaskGroup, registrar: Registrar, api: Callable[[], web.Application]) -> None:
        self._loops = loops
        self._registrar = registrar
        self._api = api
        await self._open_all()

    async def apply(self) -> None:
        """Take over the configuration: watch files are read anew, and what was not there is opened."""
        if (scope := self._scopes.pop("watch files", None)) is not None:
            scope.cancel()
        await self._open_all()

    def stop(self) -> None:
        for scope in self._scopes.values():
            scope.cancel()

    async def _open_all(self) -> None:
        configured, settings = self._configured, self._configured.settings
        if settings.watch_files:
            self._files = WatchFiles(
                settings.watch_files, self._registrar, lambda: configured.known, wakeup=self.reread
            )
            await self._open("watch files", self._files.run)
        if settings.drop is not None and "drop" not in self._scopes:
            self._drop = DropDirectory(
                settings.drop,
                self._registrar,
                lambda: configured.known_to_drop,
                wakeup=self.rescan,
                clock=self._clock,
            )
            await self._open("drop", self._drop.run)
        if "api" not in self._scopes:
            await self._open_api()

    async def _open_api(self) -> None:
        """A path that the configuration names must open; without the usual one, callbacks are delivered nevertheless.

        A command finds the usual one by the store's real path, not by the path in its configuration.
        """
        settings = self._configured.settings
        named = settings.api.listen if settings.api else None
        path = named or usual_path(await anyio.to_thread.run_sync(os.path.realpath, settings.store), os.environ)
        try:
            await self._open("api", Server(self._api(), path).run)
        except ConfigError as error:
            if named is not None:
                raise
            self._health.trouble("api", f"no command reaches the daemon: {error.faults[0].message}")
            _log.error(log_events.API_UNAVAILABLE, note=error.faults[0].message)
        else:
            self._health.clear("api")

    async def _open(self, name: str, run: Callable[..., Awaitable[None]]) -> None:
        scope = self._scopes[name] = anyio.CancelScope()

        async def until_closed(*, task_status: TaskStatus[None]) -> None:
            with scope:
                await run(task_status=task_status)

        try:
            await self._loops.start(until_closed, name=name)
        except BaseException:
            del self._scopes[name]
            raise

    def _try_files_again(self) -> None:
        """Files were left in their places while the store could not write."""
        self.reread.notify()
        if self._drop is not None:
            self._drop.try_again()

    # ---- what they say of themselves ----
    @property
    def _watch_files(self) -> WatchFiles | None:
        """None if the configuration names none any more."""
        return self._files if self._configured.settings.watch_files else None

    def troubles(self) -> Mapping[str, str]:
        """What is wrong with them now, by part."""
        return {
            **(self._watch_files.troubles() if self._watch_files else {}),
            **(self._drop.troubles() if self._drop else {}),
        }

    @property
    def incomplete(self) -> bool:
        """True while a watch file could not be taken."""
        return self._watch_files is not None and self._watch_files.incomplete

    async def prune_drop(self) -> int:
        """Remove old files from `done/` and `rejected/`; how many."""
        return await self._drop.prune(self._clock.now()) if self._drop else 0

    async def dropped(self) -> Mapping[str, int]:
        """Files in `done/` and `rejected/`; empty without a drop directory."""
        return await self._drop.counts() if self._drop else {}
