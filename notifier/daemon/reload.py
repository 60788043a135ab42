"""Takes over a configuration while the daemon runs: whole, or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio
import structlog

from notifier.config import needs_restart
from notifier.daemon.configured import Configured
from notifier.daemon.sources import Sources
from notifier.delivery.dispatcher import Dispatcher
from notifier.domain.errors import ConfigError, Fault, StoreUnavailable
from notifier.domain.model import WatchRequest
from notifier.domain.settings import Settings
from notifier.intake.registrar import Registrar
from notifier.net.certificate_expiry import ExpiryReports
from notifier.polling.poller import Poller
from notifier.runtime import log_events
from notifier.runtime.clock import Clock
from notifier.runtime.health import Health
from notifier.store.ports import Store

_log = structlog.get_logger()

#: Seconds between two tries while the store cannot write.
_STORE_WAIT: Final = 5.0


@dataclass(kw_only=True)
class Reload:
    """Applies what the configuration declares, at the start and at every reload."""

    configured: Configured
    store: Store
    poller: Poller
    dispatcher: Dispatcher
    registrar: Registrar
    sources: Sources
    expiry: ExpiryReports
    clock: Clock
    health: Health
    stopping: anyio.Event
    #: Of the reload under way.
    _scope: anyio.CancelScope = field(init=False, default_factory=anyio.CancelScope)
    #: Set while none is under way.
    _over: anyio.Event = field(init=False, default_factory=anyio.Event)

    def __post_init__(self) -> None:
        self._over.set()

    async def take(self, settings: Settings) -> None:
        """Take over `settings`, whole, or raise `ConfigError` or `StoreUnavailable` and change nothing."""
        if sentences := needs_restart(self.configured.settings, settings):
            raise ConfigError([Fault(source=settings.source, message=sentence) for sentence in sentences])
        await self.store.probe(now=self.clock.now())  # what cannot be taken over whole is not begun
        if self.stopping.is_set():
            return
        self._over = anyio.Event()
        try:
            with anyio.CancelScope() as self._scope:
                await self._take_over(settings)
                _log.info(log_events.CONFIG_RELOADED, config=settings.source)
        finally:
            self._over.set()

    async def stop(self) -> None:
        """A reload under way ends where it is."""
        self._scope.cancel()
        await self._over.wait()

    async def _take_over(self, settings: Settings) -> None:
        """Every step may be taken twice; a store that fails in between is waited for."""
        before = self.configured.settings
        self.configured.take(settings)
        self.expiry.report_all(settings, self.clock.now())
        self.dispatcher.apply(self.configured.endpoints)
        while True:
            try:
                await self.poller.apply(settings.providers)
                await self.apply_directory()
                await self.declare()
                break
            except StoreUnavailable as error:
                self.health.store_failed(error)
                await self.health.wait_for_store(_STORE_WAIT)
        _tell_undeclared(before.watches, settings.watches)
        await self.sources.apply()

    async def apply_directory(self) -> None:
        """Park what is pending for endpoints that are gone; resume what is parked for those that returned."""
        applied = await self.store.apply_directory(self.configured.directory(), now=self.clock.now())
        if applied.parked:
            note = "their endpoints are not in the configuration; they go out when the names return"
            _log.warning(log_events.DELIVERIES_PARKED, count=applied.parked, note=note)
        if applied.resumed:
            _log.info(log_events.DELIVERIES_RESUMED, count=applied.resumed)

    async def declare(self) -> None:
        """Register what `watches:` lists."""
        settings = self.configured.settings
        if settings.watches:
            await self.registrar.register(settings.watches, source=settings.source, keep_first=True)


def _tell_undeclared(before: Sequence[WatchRequest], after: Sequence[WatchRequest]) -> None:
    if gone := set(before) - set(after):
        note = "taken out of the configuration, but not cancelled: a watch once registered stays"
        _log.warning(log_events.WATCH_UNDECLARED, count=len(gone), first=next(iter(gone)).generation, note=note)
