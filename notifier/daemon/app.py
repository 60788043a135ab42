"""The composition root: the one place that constructs the parts and ties them together. `cli` parses, `app` wires.

One task group is the daemon. Consumers start before producers: pending deliveries go out first, sources open last, then
READY. A loop that crashes ends the process, and systemd starts it again: no part supervises another.

It stops in two steps. First sources and polls end at once, so that a long request never delays the stop, and attempts
in flight get `GRACE`. Then everything is cancelled, and what is still open is recorded as interrupted, within
`LAST_WRITE`.

This file is long and straight on purpose: a reader sees here what exists, and in which order.
"""

import os
import random
import resource
import secrets
from collections.abc import Container, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Final

import anyio
import structlog
from anyio.abc import TaskStatus

from notifier.admin.operations import Operations
from notifier.api.routes import application
from notifier.daemon.configured import Configured
from notifier.daemon.reload import Reload
from notifier.daemon.sources import Sources
from notifier.delivery.dispatcher import Dispatcher
from notifier.delivery.endpoint_monitor import EndpointMonitor
from notifier.delivery.outage import OutageDetector
from notifier.delivery.refresher import Refresher
from notifier.delivery.sender import Sender
from notifier.domain.errors import StoreUnavailable
from notifier.domain.ids import WatchId, WorkerId
from notifier.domain.settings import Settings
from notifier.domain.slot_sharing import IN_FLIGHT
from notifier.intake.registrar import Registrar
from notifier.net.certificate_expiry import ExpiryReports
from notifier.net.tls_files import TlsContexts
from notifier.net.transport import AiohttpTransport
from notifier.polling.poller import Poller
from notifier.polling.provider_loop import Dependencies
from notifier.providers.catalogue import KINDS
from notifier.providers.client import ProviderClient
from notifier.runtime import log_events
from notifier.runtime.clock import JumpClock, SystemClock
from notifier.runtime.health import Health
from notifier.runtime.heartbeat import Heartbeats
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
#: Seconds between two checks of when certificates end.
_CHECK_CERTIFICATES: Final = 6 * 3600
#: A loop that has not turned for this many seconds hangs. The longest wait of any loop is 15.
HANGS_AFTER: Final = 25.0
#: Descriptors that are not for attempts; and attempts that there may be even if fewer descriptors are left.
_OTHER_FILES: Final = 256
_LEAST_IN_FLIGHT: Final = 64
#: A round of chores may move a long log or end many watches.
CHORES_HANG_AFTER: Final = 300.0


def _room_for_attempts() -> int:
    """Attempts at a time: each needs a descriptor, and everything else needs as many as an idle daemon has."""
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
        self.heartbeats = Heartbeats(self._clock)
        self._housekeeping = Wakeup()
        self.health = Health(self._housekeeping)
        self._expiry = ExpiryReports(self.health)
        self._configured = Configured(settings)
        self._sources = Sources(self._configured, clock=self._clock, health=self.health)

    # ---- start and stop ----
    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until `stop`, or a crash. Started when the sources are open: READY."""
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
        """Make every part; those that hold a resource are always closed, in reverse order."""
        configured = self._configured
        store = self._store = await opened.enter_async_context(open_store(configured.settings.store))
        wire = partial(AiohttpTransport, contexts=TlsContexts())  # the machine's certificates are read once
        asking = await opened.enter_async_context(wire(guard=configured.guard_named))
        named = await opened.enter_async_context(wire(guard=configured.guard_named))
        guarded = await opened.enter_async_context(wire(guard=configured.guard_callbacks))
        outage = OutageDetector()
        client = await opened.enter_async_context(
            ProviderClient(asking, clock=self._clock, answered=lambda: outage.answered(self._clock.elapsed()))
        )
        sender = Sender(open_wire=named, guarded_wire=guarded)
        deliveries = Wakeup()
        self.monitor = EndpointMonitor(
            store,
            configured.endpoints,
            clock=self._clock,
            health=self.health,
            token=lambda: secrets.token_hex(26),
            config=self._config,
        )
        self._poller = Poller(
            Dependencies(
                store=store,
                ask=client.ask,
                clock=self._clock,
                random=random.random,
                directory=lambda: replace(configured.directory(), disabled=self.monitor.disabled),
                deliveries=deliveries,
                health=self.health,
                heartbeat=self.heartbeats.add("poller", limit=HANGS_AFTER),
            ),
            KINDS.__getitem__,
        )
        self._refresher = Refresher(
            store, self._poller.reread, clock=self._clock, deliveries=deliveries, health=self.health
        )
        self._dispatcher = Dispatcher(
            store,
            sender,
            configured.endpoints,
            monitor=self.monitor,
            owner=WorkerId(f"run_{secrets.token_hex(8)}"),
            clock=self._clock,
            random=random.random,
            wakeup=deliveries,
            health=self.health,
            heartbeat=self.heartbeats.add("dispatcher", limit=HANGS_AFTER),
            refresher=self._refresher,
            outage=outage,
            in_flight=_room_for_attempts(),
        )
        self._registrar = Registrar(
            store,
            clock=self._clock,
            add_open=self._poller.add,
            deliveries=deliveries,
            health=self.health,
        )
        self._operations = Operations(
            store,
            sender,
            lambda: configured.endpoints,
            self.monitor,
            providers=lambda: configured.settings.providers,
            clock=self._clock,
            random_bytes=lambda: secrets.token_bytes(16),
            remove_open=self._poller.remove,
            deliveries=deliveries,
            health=self.health,
        )
        retention = Retention(
            store, clock=self._clock, keep=lambda: configured.settings.retention, declared=self._declared
        )
        self._upkeep = Upkeep(
            store,
            end_lapsed=self._dispatcher.end_lapsed,
            clock=self._clock,
            wakeup=self._housekeeping,
            prune=self._sources.prune_drop,
            retain=retention.run_once,
            deliveries=deliveries,
            health=self.health,
            heartbeat=self.heartbeats.add("upkeep", limit=CHORES_HANG_AFTER),
        )
        self._reload = Reload(
            configured=configured,
            store=store,
            poller=self._poller,
            dispatcher=self._dispatcher,
            registrar=self._registrar,
            sources=self._sources,
            expiry=self._expiry,
            clock=self._clock,
            health=self.health,
            stopping=self._stopping,
        )
        self._timer = Timer()
        opened.callback(self._timer.stop)

    async def _start(self) -> None:
        """Consumers before producers."""
        settings = self._configured.settings
        self._expiry.report_all(settings, self._clock.now())
        await self._reload.apply_directory()
        await self._loops.start(self._refresher.run, name="refresher")
        await self._loops.start(self._dispatcher.run, name="dispatcher")
        await self._loops.start(self._upkeep.run, name="upkeep")
        await self._loops.start(self._poller.run, settings.providers, name="poller")
        self._timer.every(1, self.heartbeats.add("timer", limit=HANGS_AFTER).beat, name="heartbeat")
        self._timer.every(0.25, self._poller.tick, name="poll")
        self._timer.every(5, self._sources.rescan.notify, name="drop rescan")
        self._timer.every(5, self._sources.reread.notify, name="watch files")
        self._timer.every(10, self._housekeeping.notify, name="upkeep")
        self._timer.every(_CHECK_CERTIFICATES, self._report_expiry, name="certificates")
        self._timer.start()
        await self._reload.declare()
        await self._sources.start(
            self._loops,
            self._registrar,
            partial(application, self._operations, clock=self._clock, store=settings.store, reports=self._store),
        )

    async def _wind_down(self) -> None:
        """Take nothing new, then give what is in flight its time. A reload under way ends where it is."""
        await self._reload.stop()
        self._sources.stop()
        self._poller.stop()
        self._dispatcher.stop_claiming()
        with anyio.move_on_after(GRACE):
            await self._dispatcher.drained()

    async def _hand_back(self) -> None:
        try:
            await self._dispatcher.release()
            await self._poller.save()
        except StoreUnavailable as error:  # the leases lapse; the next start ends them
            if self._up:  # a start that failed says so itself
                _log.error(log_events.STORE_UNAVAILABLE, error=str(error))

    async def reload(self, settings: Settings) -> None:
        """Take over `settings`, whole, or raise `ConfigError` or `StoreUnavailable` and change nothing."""
        await self._reload.take(settings)

    def _declared(self) -> Container[WatchId] | None:
        """What the configuration and the watch files declared in this run; None while a file could not be taken."""
        return None if self._sources.incomplete else self._registrar.declared

    def _report_expiry(self) -> None:
        self._expiry.report_changes(self._configured.settings, self._clock.now())

    # ---- status ----
    @property
    def troubles(self) -> Mapping[str, str]:
        """What is wrong now, by part. No trouble at all is readiness."""
        return {**self.health.troubles, **self._sources.troubles()}

    @property
    def watched(self) -> Mapping[str, int]:
        """Open generations by provider."""
        return self._poller.watched

    async def counts(self) -> Counts:
        return await self._store.counts()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    async def dropped(self) -> Mapping[str, int]:
        """Files in `done/` and `rejected/`; empty without a drop directory."""
        return await self._sources.dropped()
