"""Retention: the store forgets what was finished longer ago than the configuration keeps it. A chore of upkeep.

A pass begins every hour. It does a little at each round of chores until it is done, so that neither deliveries nor the
other chores wait for it. Then it returns free space to the disk, a little at each round too: 20 MB about every ten
seconds. At the end one log line says what was forgotten and how large the store is.

Each round asks which watches are declared. While that is unknown (a watch file cannot be read), and in the first hour
of a run (its directory may not be mounted yet), every watch stays: if a declared one was forgotten, its result would be
posted again. If the wall clock was set, nothing is forgotten for an hour, so that a wrong clock can be corrected before
everything looks old.
"""

from collections.abc import Callable, Container
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from typing import Final

import structlog

from notifier.domain.ids import WatchId
from notifier.runtime import log_events
from notifier.runtime.clock import JumpClock
from notifier.runtime.clock_jumps import ClockJumps
from notifier.store.ports import UpkeepStore
from notifier.store.records import Pruned

_log = structlog.get_logger()

#: Seconds between two passes.
PASS_EVERY: Final = 3600.0
#: Seconds of a run in which every watch stays, until all that declare watches are there.
SETTLING: Final = 3600.0
#: Rows that one round of chores looks at, and pages that it returns.
ROUND: Final = 5_000


@dataclass(slots=True, eq=False)
class Retention:
    """`keep` is how long what is finished is kept; `declared` answers None if that is unknown now."""

    store: UpkeepStore
    _: KW_ONLY
    clock: JumpClock
    keep: Callable[[], timedelta]
    declared: Callable[[], Container[WatchId] | None]
    _settled: float = field(init=False)
    _next_pass: float = field(init=False)
    _jumps: ClockJumps = field(init=False)
    #: What the current pass has forgotten so far.
    _done: Pruned = field(default_factory=Pruned)
    #: Whether there was nothing more to forget in it.
    _forgotten: bool = False

    def __post_init__(self) -> None:
        self._next_pass = self.clock.monotonic()
        self._settled = self._next_pass + SETTLING
        self._jumps = ClockJumps(self.clock.now(), self.clock.elapsed())

    async def run_once(self) -> None:
        """A little of the pass that is due, if one is. `StoreUnavailable` if the store cannot write."""
        now = self.clock.monotonic()
        if self._jumps.since_last(self.clock.now(), self.clock.elapsed()):
            self._next_pass = now + PASS_EVERY
        if now < self._next_pass:
            return
        if not self._forgotten:
            await self._forget(now)
        if self._forgotten and await self.store.give_back(most=ROUND) < ROUND:
            await self._end(now)

    async def _forget(self, now: float) -> None:
        known = self.declared() if now >= self._settled else None
        some = await self.store.prune(before=self.clock.now() - self.keep(), declared=known, most=ROUND)
        self._done += some
        self._forgotten = not some.more

    async def _end(self, now: float) -> None:
        size = await self.store.size()
        done, self._done, self._next_pass, self._forgotten = self._done, Pruned(), now + PASS_EVERY, False
        _log.info(
            log_events.STORE_SIZE,
            file=size.file,
            log=size.log,
            free_pages=size.free_pages,
            page=size.page,
            deliveries_pruned=done.deliveries,
            watches_pruned=done.watches,
            generations_pruned=done.generations,
        )
