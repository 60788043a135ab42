"""The composition root: the one place that constructs the parts and ties them together. `cli` parses, `app` wires.

One task group is the daemon, started from the drain to the tap: what is owed goes out first, the doors open last, then
READY. A loop that crashes ends the process, and systemd starts it again: no part is watched over by another.

It stops twice. First doors and looks end at once, so that a long request never delays the stop, and attempts in flight
get `GRACE`. Then everything is cancelled, and what is still open is written down as interrupted, within `LAST_WRITE`.

This file is long and straight on purpose: a reader sees here what exists, and in which order.
"""

import os
import random
import resource
import secrets
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Final

import anyio
import structlog
from anyio.abc import TaskStatus

from notifier.admin.operations import Operations
from notifier.api.routes import application
from notifier.api.server import Server
from notifier.api.socket_path import usual_path
from notifier.config import known, known_to_drop, needs_restart
from notifier.delivery.dispatcher import Dispatcher
from notifier.delivery.endpoint_monitor import EndpointMonitor
from notifier.delivery.outage import OutageDetector
from notifier.delivery.policies import Endpoints
from notifier.delivery.refresher import Refresher
from notifier.delivery.sender import Sender
from notifier.domain.errors import ConfigError, Fault, StoreUnavailable
from notifier.domain.ids import WatchId, WorkerId
from notifier.domain.model import EndpointDirectory, WatchRequest
from notifier.domain.settings import Settings
from notifier.domain.slot_sharing import IN_FLIGHT
from notifier.intake.drop.directory import DropDirectory
from notifier.intake.registrar import Registrar
from notifier.intake.watch_files import WatchFiles
from notifier.net.address_policy import refusal
from notifier.net.certificate_expiry import ExpiryReports
from notifier.net.tls_files import TlsContexts
from notifier.net.transport import AiohttpTransport
from notifier.net.urls import Address
from notifier.polling.poller import Poller
from notifier.polling.provider_loop import Dependencies
from notifier.providers.catalogue import codec
from notifier.providers.client import ProviderClient
from notifier.runtime import log_events
from notifier.runtime.clock import JumpClock, SystemClock
from notifier.runtime.health import Health
from notifier.runtime.heartbeat import Heartbeat
from notifier.runtime.timer import Timer
from notifier.runtime.wakeup import Wakeup
from notifier.store.records import Counts
from notifier.store.sqlite import open_store
from notifier.text.command_line import config_to_print
from notifier.upkeep.loop import Upkeep
from notifier.upkeep.retention import Retention

_log = structlog.get_logger()

#: Seconds that attempts in flight get after the first signal to stop.
GRACE: Final = 20.0
#: Seconds for the last writes. Together they stay below systemd's TimeoutStopSec.
LAST_WRITE: Final = 3.0
#: Seconds between two tries of a reload while the store cannot write.
_STORE_WAIT: Final = 5.0
#: Seconds between two looks at when certificates end.
_CHECK_CERTIFICATES: Final = 6 * 3600
#: A loop that has not turned for this many seconds hangs. The longest wait of any loop is 15.
HANGS_AFTER: Final = 25.0
#: Descriptors that are not for attempts, and attempts that there may be for all that.
_OTHER_FILES: Final = 256
_LEAST_IN_FLIGHT: Final = 64
#: A round of chores may move a long log or end many watches.
CHORES_HANG_AFTER: Final = 300.0


def _room_for_attempts() -> int:
    """Attempts at a time: each has a descriptor, and as many as an idle daemon has are left to everything else."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return IN_FLIGHT
    return max(_LEAST_IN_FLIGHT, min(IN_FLIGHT, limit - _OTHER_FILES))


class Daemon:
    """All of notifier for one configuration: `run` it, once; `reload` and `stop` act on it while it runs."""

    def __init__(self, settings: Settings, *, clock: JumpClock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._config = config_to_print(os.path.abspath(settings.source), environ={})  # noqa: PTH100  links stay
        self._stopping = anyio.Event()
        self._up = False
        self._heartbeats: list[Heartbeat] = []
        self._doors: dict[str, anyio.CancelScope] = {}
        self._reloading = anyio.CancelScope()
        self._reloaded = anyio.Event()
        self._reloaded.set()
        self._housekeeping = Wakeup()
        self.health = Health(self._housekeeping)
        self._expiry = ExpiryReports(self.health)
        self._files: WatchFiles | None = None
        self._drop: DropDirectory | None = None
        self._take(settings)

    def _take(self, settings: Settings) -> None:
        self._settings = settings
        self._known = known(settings)
        self._known_to_drop = known_to_drop(settings)
        self._endpoints = Endpoints(settings.endpoints, settings.callbacks, operator=settings.operator)

    # ---- its life ----
    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until `stop`, or a crash. Started when the doors are open: READY."""
        async with AsyncExitStack() as opened:
            await self._build(opened)
            try:
                async with anyio.create_task_group() as self._loops:
                    await self._start()
                    self._up = True
                    task_status.started()
                    await self._stopping.wait()
                    await self._wind_down()
                    self._loops.cancel_scope.cancel()
            finally:
                with anyio.move_on_after(LAST_WRITE, shield=True):
                    await self._hand_back()

    def stop(self) -> None:
        """Wind down and end `run`."""
        self._stopping.set()

    async def _build(self, opened: AsyncExitStack) -> None:
        """Every part; what holds a resource is closed in reverse, whatever happens."""
        store = self._store = await opened.enter_async_context(open_store(self._settings.store))
        wire = partial(AiohttpTransport, contexts=TlsContexts())  # the machine's certificates are read once
        asking = await opened.enter_async_context(wire(guard=self._guard_named))
        named = await opened.enter_async_context(wire(guard=self._guard_named))
        guarded = await opened.enter_async_context(wire(guard=self._guard_callbacks))
        outage = OutageDetector()
        client = await opened.enter_async_context(
            ProviderClient(asking, clock=self._clock, answered=lambda: outage.answered(self._clock.elapsed()))
        )
        sender = Sender(open_wire=named, guarded_wire=guarded)
        deliveries, self._rescan = Wakeup(), Wakeup()
        self._reread = Wakeup()
        self.health.at_recovery(self._try_files_again)
        self._refresher = Refresher(store, clock=self._clock, deliveries=deliveries, health=self.health)
        self.monitor = EndpointMonitor(
            store,
            self._endpoints,
            clock=self._clock,
            health=self.health,
            token=lambda: secrets.token_hex(26),
            config=self._config,
        )
        self._dispatcher = Dispatcher(
            store,
            sender,
            self._endpoints,
            monitor=self.monitor,
            owner=WorkerId(f"run_{secrets.token_hex(8)}"),
            clock=self._clock,
            random=random.random,
            wakeup=deliveries,
            health=self.health,
            heartbeat=self._heartbeat("dispatcher"),
            refresher=self._refresher,
            outage=outage,
            in_flight=_room_for_attempts(),
        )
        self._poller = Poller(
            Dependencies(
                store=store,
                ask=client.ask,
                clock=self._clock,
                random=random.random,
                directory=lambda: replace(self._directory(), disabled=self.monitor.disabled),
                deliveries=deliveries,
                health=self.health,
                heartbeat=self._heartbeat("poller"),
            ),
            codec,
        )
        self._registrar = Registrar(
            store,
            clock=self._clock,
            directory=self._directory,
            add_open=self._poller.add,
            deliveries=deliveries,
            health=self.health,
        )
        self._operations = Operations(
            store,
            sender,
            lambda: self._endpoints,
            self.monitor,
            providers=lambda: self._settings.providers,
            clock=self._clock,
            random_bytes=lambda: secrets.token_bytes(16),
            remove_open=self._poller.remove,
            deliveries=deliveries,
            health=self.health,
        )
        retention = Retention(store, clock=self._clock, keep=lambda: self._settings.retention, declared=self._declared)
        self._upkeep = Upkeep(
            store,
            self._dispatcher,
            clock=self._clock,
            directory=self._directory,
            wakeup=self._housekeeping,
            prune=self._prune,
            retain=retention.run_once,
            deliveries=deliveries,
            health=self.health,
            heartbeat=self._heartbeat("upkeep", limit=CHORES_HANG_AFTER),
        )
        self._timer = Timer()
        opened.callback(self._timer.stop)

    async def _start(self) -> None:
        """From the drain to the tap."""
        self._expiry.report_all(self._settings, self._clock.now())
        await self._settle_parked()
        await self._loops.start(self._refresher.run, self._poller.reread, name="refresher")
        await self._loops.start(self._dispatcher.run, name="dispatcher")
        await self._loops.start(self._upkeep.run, name="upkeep")
        await self._loops.start(self._poller.run, self._settings.providers, name="poller")
        self._timer.every(1, self._heartbeat("timer").beat, name="heartbeat")
        self._timer.every(0.25, self._poller.tick, name="look")
        self._timer.every(5, self._rescan.notify, name="drop rescan")
        self._timer.every(5, self._reread.notify, name="watch files")
        self._timer.every(10, self._housekeeping.notify, name="upkeep")
        self._timer.every(_CHECK_CERTIFICATES, self._report_expiry, name="certificates")
        self._timer.start()
        await self._declare(self._settings.watches)
        await self._open_doors()

    async def _wind_down(self) -> None:
        """Stop taking, then give what is in flight its time. A reload under way ends where it is."""
        self._reloading.cancel()
        await self._reloaded.wait()
        for scope in self._doors.values():
            scope.cancel()
        self._poller.stop()
        self._dispatcher.stop_taking()
        with anyio.move_on_after(GRACE):
            await self._dispatcher.idle()

    async def _hand_back(self) -> None:
        try:
            await self._dispatcher.hand_back()
            await self._poller.save()
        except StoreUnavailable as error:  # the leases lapse; the next start ends them
            if self._up:  # a start that failed says so itself
                _log.error(log_events.STORE_UNAVAILABLE, error=str(error))

    # ---- doors ----
    async def _open_doors(self) -> None:
        """The watch files, the drop directory and the socket for commands, as the configuration has them now."""
        settings = self._settings
        if settings.watch_files:
            self._files = WatchFiles(settings.watch_files, self._registrar, lambda: self._known, wakeup=self._reread)
            await self._open("watch files", self._files.run)
        if settings.drop is not None and "drop" not in self._doors:
            self._drop = DropDirectory(
                settings.drop, self._registrar, lambda: self._known_to_drop, wakeup=self._rescan, clock=self._clock
            )
            await self._open("drop", self._drop.run)
        if "api" not in self._doors:
            await self._open_api()

    async def _open_api(self) -> None:
        """Where the configuration names its place, it must open; without it, what is owed goes out all the same."""
        named = self._settings.api.listen if self._settings.api else None
        door = Server(
            application(self._operations, clock=self._clock, store=self._settings.store, reports=self._store),
            named or self._usual_path(),
        )
        try:
            await self._open("api", door.run)
        except ConfigError as error:
            if named is not None:
                raise
            self.health.trouble("api", f"no command reaches the daemon: {error.faults[0].message}")
            _log.error(log_events.API_UNAVAILABLE, note=error.faults[0].message)
        else:
            self.health.clear("api")

    def _try_files_again(self) -> None:
        """They were left where they are while the store could not write."""
        self._reread.notify()
        if self._drop is not None:
            self._drop.try_again()

    def _usual_path(self) -> str:
        """A command finds it too, by whatever name its configuration calls the store."""
        return usual_path(os.path.realpath(self._settings.store), os.environ)

    async def _open(self, name: str, run: Callable[..., Awaitable[None]]) -> None:
        scope = self._doors[name] = anyio.CancelScope()

        async def taking(*, task_status: TaskStatus[None]) -> None:
            with scope:
                await run(task_status=task_status)

        try:
            await self._loops.start(taking, name=name)
        except BaseException:
            del self._doors[name]
            raise

    async def _declare(self, watches: Sequence[WatchRequest]) -> None:
        if watches:
            await self._registrar.register(watches, source=self._settings.source, keep_first=True)

    # ---- changes while it runs ----
    async def reload(self, settings: Settings) -> None:
        """Take over `settings`, whole, or raise `ConfigError` or `StoreUnavailable` and change nothing."""
        if sentences := needs_restart(self._settings, settings):
            raise ConfigError([Fault(source=settings.source, message=sentence) for sentence in sentences])
        await self._store.probe(now=self._clock.now())  # what cannot be taken over whole is not begun
        if self.stopping:
            return
        self._reloaded = anyio.Event()
        try:
            with anyio.CancelScope() as self._reloading:
                await self._take_over(settings)
                _log.info(log_events.CONFIG_RELOADED, config=settings.source)
        finally:
            self._reloaded.set()

    async def _take_over(self, settings: Settings) -> None:
        """Every step may be taken twice; a store that fails in between is waited for."""
        before = self._settings
        self._take(settings)
        self._expiry.report_all(settings, self._clock.now())
        self._dispatcher.apply(self._endpoints)
        while True:
            try:
                await self._poller.apply(settings.providers)
                await self._settle_parked()
                await self._declare(settings.watches)
                break
            except StoreUnavailable as error:
                self.health.store_failed(error)
                await self.health.wait_for_store(_STORE_WAIT)
        self._tell_undeclared(before.watches, settings.watches)
        if (scope := self._doors.pop("watch files", None)) is not None:
            scope.cancel()
        await self._open_doors()

    async def _settle_parked(self) -> None:
        """Keep back what is owed to endpoints that are gone; let go what is owed to those that returned."""
        parked, resumed = await self._store.park_deliveries(now=self._clock.now(), directory=self._directory())
        if parked:
            note = "their endpoints are not in the configuration; they go out when the names return"
            _log.warning(log_events.DELIVERIES_PARKED, count=parked, note=note)
        if resumed:
            _log.info(log_events.DELIVERIES_RESUMED, count=resumed)

    def _tell_undeclared(self, before: Sequence[WatchRequest], after: Sequence[WatchRequest]) -> None:
        if gone := set(before) - set(after):
            note = "taken out of the configuration, but not cancelled: a watch once registered stays"
            _log.warning(log_events.WATCH_UNDECLARED, count=len(gone), first=next(iter(gone)).generation, note=note)

    # ---- what the parts ask of others that are built later, and of the configuration, now ----
    def _report_expiry(self) -> None:
        self._expiry.report_changes(self._settings, self._clock.now())

    def _directory(self) -> EndpointDirectory:
        return self._endpoints.directory()

    def _declared(self) -> Container[WatchId] | None:
        """What the configuration and the watch files declared in this run; None while a file could not be taken."""
        reading = self._files if self._settings.watch_files else None
        return None if reading and reading.incomplete else self._registrar.declared

    def _guard_named(self, address: Address) -> str | None:
        return refusal(address, guarded=False, allow=self._endpoints.allow)

    def _guard_callbacks(self, address: Address) -> str | None:
        return refusal(address, guarded=True, allow=self._endpoints.allow)

    # ---- how it is ----
    def _heartbeat(self, name: str, *, limit: float = HANGS_AFTER) -> Heartbeat:
        heartbeat = Heartbeat(name, self._clock, limit=limit)
        self._heartbeats.append(heartbeat)
        return heartbeat

    @property
    def hanging(self) -> list[str]:
        """Loops that do not turn any more; the watchdog is fed only while there are none."""
        return [heartbeat.name for heartbeat in self._heartbeats if not heartbeat.alive]

    def excuse(self, seconds: float) -> None:
        """The process stood still for so long: no loop could turn."""
        for heartbeat in self._heartbeats:
            heartbeat.excuse(seconds)

    @property
    def troubles(self) -> Mapping[str, str]:
        """What is wrong now, by part; nothing is readiness."""
        skipped = self._files.troubles() if self._files and self._settings.watch_files else {}
        shut = self._drop.troubles() if self._drop else {}
        return {
            **self.health.troubles,
            **skipped,
            **shut,
        }

    @property
    def watched(self) -> Mapping[str, int]:
        """Open generations by provider."""
        return self._poller.watched

    async def counts(self) -> Counts:
        return await self._store.counts()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    async def _prune(self) -> int:
        return await self._drop.prune(self._clock.now()) if self._drop else 0

    async def dropped(self) -> Mapping[str, int]:
        """Files in `done/` and `rejected/`; empty without a drop directory."""
        return await self._drop.counts() if self._drop else {}
