"""Upkeep: chores that keep the store tidy. Each logs what it did, and nothing if it did nothing.

A store that cannot write is probed here, after 1, 2, 4 and at most 30 seconds, and every loop that waits for it is
notified. The probe repeats the write that failed, because the success of another one says little about a damaged page
or a full disk.
"""

from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from typing import Final

import anyio
import structlog
from anyio.abc import TaskStatus

from notifier.domain.errors import StoreUnavailable
from notifier.runtime import log_events
from notifier.runtime.clock import JumpClock
from notifier.runtime.clock_jumps import ClockJumps
from notifier.runtime.health import STORE, Health
from notifier.runtime.heartbeat import Heartbeat
from notifier.runtime.wakeup import Wakeup
from notifier.store.ports import UpkeepStore

_log = structlog.get_logger()

#: Seconds between two rounds of chores without a wakeup.
INTERVAL: Final = 15.0
#: Seconds after the start, or after the wall clock was set, in which overdue watches are polled before they expire.
_FIRST_POLLS: Final = 3600.0
_CHECKPOINT: Final = "checkpoint"
#: How long the health of an origin is kept after its last failure.
_ORIGINS_KEPT: Final = timedelta(days=30)
#: Seconds between two looks at the drop directory for files to remove; each lists all of it.
_PRUNE_EVERY: Final = 3600.0


@dataclass(slots=True, eq=False)
class Upkeep:
    """Runs the chores whenever `wakeup` is notified, and at least every 15 s.

    `end_lapsed` ends attempts whose worker is gone; `prune` removes accepted drop files; `retain` has the store forget
    what was finished long ago.
    """

    store: UpkeepStore
    _: KW_ONLY
    end_lapsed: Callable[[], Awaitable[int]]
    clock: JumpClock
    wakeup: Wakeup
    prune: Callable[[], Awaitable[int]]
    retain: Callable[[], Awaitable[None]]
    deliveries: Wakeup
    health: Health
    heartbeat: Heartbeat
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    _backoff: "StoreBackoff" = field(init=False)
    _prune_at: float = float("-inf")
    _expire_from: float = field(init=False)
    _jumps: ClockJumps = field(init=False)

    def __post_init__(self) -> None:
        self._backoff = StoreBackoff()
        self._expire_from = self.clock.monotonic() + _FIRST_POLLS
        self._jumps = ClockJumps(self.clock.now(), self.clock.elapsed())

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            self.heartbeat.beat()
            if self.health.store_up:
                await self.wakeup.wait(INTERVAL)
            if not self.health.store_up:
                await self.sleep(self._backoff.next(self.clock.monotonic()))
            try:
                await self.run_once()
            except StoreUnavailable as error:
                self.health.store_failed(error)

    async def run_once(self) -> None:
        """Every chore once. `StoreUnavailable` if the store cannot write."""
        if not self.health.store_up:
            await self.store.probe(now=self.clock.now())
            self._backoff.succeeded(self.clock.monotonic())
            self.health.clear(STORE)
            _log.info(log_events.STORE_RECOVERED)
        await self.end_lapsed()
        await self._park()
        await self._expire()
        await self.retain()
        await self._checkpoint()
        await self._prune_drop_and_origins()

    async def _park(self) -> None:
        """Park the rest of what was pending when its endpoint was disabled. None of it is claimed before that."""
        if count := await self.store.park_disabled():
            note = "their endpoints are disabled; `notifier endpoints` says which and why"
            _log.warning(log_events.DELIVERIES_PARKED, count=count, note=note)

    async def _checkpoint(self) -> None:
        """Checkpoint the store's log. If that fails the log grows, but everything else works for now."""
        try:
            await self.store.checkpoint()
        except StoreUnavailable as error:
            if self.health.trouble(_CHECKPOINT, str(error)):
                _log.error(log_events.STORE_UNAVAILABLE, error=str(error))
        else:
            self.health.clear(_CHECKPOINT)

    async def _prune_drop_and_origins(self) -> None:
        now = self.clock.monotonic()
        if now < self._prune_at:
            return
        self._prune_at = now + _PRUNE_EVERY
        await self.store.forget_endpoints(before=self.clock.now() - _ORIGINS_KEPT)
        if count := await self.prune():
            _log.info(log_events.DROP_PRUNED, count=count)

    async def _expire(self) -> None:
        """Expire watches whose provider could not be asked since their deadline.

        Not soon after the start, or after the clock was set: the time in which we did not run shows nothing about the
        provider.
        """
        if self._jumps.since_last(self.clock.now(), self.clock.elapsed()):
            self._expire_from = self.clock.monotonic() + _FIRST_POLLS
        if self.clock.monotonic() < self._expire_from:
            return
        count = await self.store.expire_unreachable(now=self.clock.now())
        if count:
            _log.warning(
                log_events.WATCHES_ENDED,
                count=count,
                kind="expired",
                reason="provider_unreachable",
                note="their deadline passed a day ago and the provider could not be asked since",
            )
            self.deliveries.notify()


class StoreBackoff:
    """Seconds until a store that failed is probed again: 1, 2, 4, … 30.

    They begin at 1 again only after it worked for `_STEADY`: a store that fails as soon as it is used is not probed
    every second.
    """

    _FIRST: Final = 1.0
    _LONGEST: Final = 30.0
    #: Seconds.
    _STEADY: Final = 60.0

    def __init__(self) -> None:
        self._wait = 0.0
        self._succeeded_at: float | None = None

    def next(self, now: float) -> float:
        """Note a failure; `now` is monotonic seconds."""
        if self._succeeded_at is not None and now - self._succeeded_at >= self._STEADY:
            self._wait = 0.0
        self._succeeded_at = None
        self._wait = min(max(self._FIRST, 2 * self._wait), self._LONGEST)
        return self._wait

    def succeeded(self, now: float) -> None:
        self._succeeded_at = now
