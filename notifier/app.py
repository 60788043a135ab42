"""The composition root: the one place that constructs the parts and ties them together. `cli` parses, `app` wires.

One task group is the daemon, started from the drain to the tap: what is owed goes out first, the doors open last, then READY.
A loop that crashes ends the process, and systemd starts it again: no part is watched over by another.

It stops twice (design: stop taking, then cancel): doors and looks end at once, so that a long request never delays the stop; attempts in
flight get `GRACE`; what is still open then is written down as interrupted, within `LAST_WRITE`.

This file is long and straight on purpose: a reader sees here what exists and in which order.
"""

import random
import secrets
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from notifier import systemd, telemetry
from notifier.bell import Bell
from notifier.clock import Clock, SystemClock
from notifier.config import known, needs_restart
from notifier.delivery.addresses import Allow, parse_allow, refusal
from notifier.delivery.dispatcher import Dispatcher
from notifier.delivery.endpoints import Endpoints
from notifier.delivery.sender import Sender
from notifier.errors import ConfigError, Fault, StoreUnavailable
from notifier.health import Health, Pulse
from notifier.ids import WorkerId
from notifier.intake.registrar import Registrar
from notifier.intake.request import Known
from notifier.intake.sources.drop import DropDirectory
from notifier.intake.sources.watch_files import WatchFiles
from notifier.model import Book, Settings, WatchRequest
from notifier.polling.poller import Poller
from notifier.providers.client import ProviderClient
from notifier.providers.registry import codec
from notifier.store.base import Counts, Store
from notifier.store.sqlite import open_store
from notifier.ticks import Metronome
from notifier.transport import AiohttpTransport
from notifier.upkeep import Upkeep

_log = structlog.get_logger()

#: Seconds that attempts in flight get after the first signal to stop.
GRACE: Final = 20.0
#: Seconds for the last writes; GRACE and this stay below systemd's TimeoutStopSec.
LAST_WRITE: Final = 3.0
#: A loop that has not turned for this many seconds hangs.
HANGS_AFTER: Final = 20.0


class Daemon:
    """The whole of notifier for one configuration. `run` it; `reload` and `stop` act on it while it runs."""

    def __init__(self, settings: Settings, *, clock: Clock | None = None, environ: Mapping[str, str] | None = None) -> None:
        self._clock = clock or SystemClock()
        self._environ = environ or {}
        self.health = Health()
        self._counts: Counts | None = None
        self._stopping = anyio.Event()
        self._apply(settings)

    def _apply(self, settings: Settings) -> None:
        self.settings = settings
        self._known = known(settings)
        self._endpoints = Endpoints(settings.endpoints, settings.callbacks)
        self._allow = parse_allow(settings.callbacks.allow if settings.callbacks else ())

    def _book(self) -> Book:
        return self._endpoints.book()

    # ---- its life ----
    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until `stop`, or a crash. Started when the doors are open: READY."""
        async with AsyncExitStack() as opened:
            await self._build(opened)
            try:
                async with anyio.create_task_group() as loops:
                    await self._start(loops)
                    task_status.started()
                    _log.info(telemetry.DAEMON_STARTED, config=self.settings.source, store=self.settings.store)
                    await self._stopping.wait()
                    await self._wind_down()
                    loops.cancel_scope.cancel()
            finally:
                with anyio.move_on_after(LAST_WRITE, shield=True):
                    await self._dispatcher.hand_back()

    async def _build(self, opened: AsyncExitStack) -> None:
        """Everything that the loops need, closed in reverse whatever happens."""
        self._store: Store = await opened.enter_async_context(open_store(self.settings.store))
        asking = await opened.enter_async_context(AiohttpTransport())
        named = await opened.enter_async_context(AiohttpTransport(guard=self._refuse_named))
        guarded = await opened.enter_async_context(AiohttpTransport(guard=self._refuse_guarded))
        owed, housekeeping = Bell(), Bell()
        self._dispatcher = Dispatcher(
            self._store,
            Sender(named, guarded=guarded),
            self._endpoints,
            owner=WorkerId(f"run-{secrets.token_hex(8)}"),
            clock=self._clock,
            chance=random.random,
            bell=owed,
            health=self.health,
            pulse=self._pulse("dispatcher"),
        )
        self._poller = Poller(
            self._store,
            ProviderClient(asking, clock=self._clock),
            codec,
            clock=self._clock,
            chance=random.random,
            book=self._book,
            deliveries=owed,
            health=self.health,
            pulse=self._pulse("poller"),
        )
        self._registrar = Registrar(
            self._store, clock=self._clock, book=self._book, welcome=self._poller.welcome, deliveries=owed
        )
        self._upkeep = Upkeep(
            self._store,
            self._dispatcher,
            clock=self._clock,
            book=self._book,
            bell=housekeeping,
            deliveries=owed,
            health=self.health,
            pulse=self._pulse("upkeep"),
        )
        self._metronome = Metronome()
        opened.callback(self._metronome.stop)

    async def _start(self, loops: TaskGroup) -> None:
        """From the drain to the tap."""
        self._taps = _Taps(loops)
        await self._park()
        await loops.start(self._dispatcher.run)
        await loops.start(self._upkeep.run)
        self._poller.apply(self.settings.providers)
        await loops.start(self._poller.run)
        self._beat()
        await self._declare(self.settings.watches)
        await self._open_doors()

    def _beat(self) -> None:
        self._metronome.every(0.25, self._poller.tick, name="look")
        self._metronome.every(15, self._housekeeping.ring, name="upkeep")
        self._metronome.every(5, self._rescan.ring, name="rescan")
        self._metronome.start()

    async def _open_doors(self) -> None:
        """The drop directory and the watch files, as the configuration now has them."""
        settings = self.settings
        if settings.watch_files:
            files = WatchFiles(
                settings.watch_files, self._registrar, lambda: self._known, bell=Bell(), health=self.health, clock=self._clock
            )
            await self._taps.open("watch_files", files.run)
        if settings.drop:
            drop = DropDirectory(settings.drop, self._registrar, lambda: self._known, bell=self._rescan, clock=self._clock)
            await self._taps.open("drop", drop.run)

    async def _wind_down(self) -> None:
        """Stop taking; then give what is in flight its time."""
        self._taps.close()
        self._poller.stop()
        self._dispatcher.stop_taking()
        with anyio.move_on_after(GRACE):
            await self._dispatcher.idle()
