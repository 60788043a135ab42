"""Keeps waits as long as they were meant to be when the wall clock is set.

When something is due is stored as wall time, for people and for the next run. So where the clock is set back by an
hour, what is due in five seconds would wait an hour and five seconds, and where it is set forward, an hour's retries
would all be due at once; set forward by five days, it would disable an endpoint that failed for a minute. What waits
in the store, and since when endpoints fail, is moved along with the clock instead, before anything is handed in or
claimed.

Debt: a clock that is set while notifier is not running is not noticed.
"""

from collections import deque
from datetime import datetime, timedelta

import structlog

from notifier.runtime import log_events
from notifier.runtime.clock import JumpClock
from notifier.runtime.clock_jumps import ClockJumps
from notifier.runtime.heartbeat import Heartbeat
from notifier.store.ports import DueTimeStore, ShiftProgress

_log = structlog.get_logger()


class ClockShift:
    """One dispatcher's; `store` holds the due times, and is None if they do not follow this machine's clock."""

    def __init__(self, store: DueTimeStore | None, clock: JumpClock, heartbeat: Heartbeat) -> None:
        self._store = store
        self._clock = clock
        self._heartbeat = heartbeat
        self._jumps = ClockJumps(clock.now(), clock.elapsed())
        #: (how far, what the clock showed then), of jumps that the store does not know of yet.
        self._noted: deque[tuple[timedelta, datetime]] = deque()
        #: How far the first of them is done.
        self._done: ShiftProgress | None = None

    def jumped(self) -> timedelta:
        """How far the wall clock was set since this was last asked; `keep` has the store follow."""
        now = self._clock.now()
        if by := self._jumps.since_last(now, self._clock.elapsed()):
            note = "what is due, and since when endpoints fail, goes by the store's own clock: neither changes"
            if self._store is not None:
                self._noted.append((by, now))
                note = "pending callbacks, and since when endpoints fail, are moved with it: both last as long as ever"
            _log.warning(log_events.CLOCK_JUMPED, by_s=round(by.total_seconds()), note=note)
        return by

    async def keep(self) -> None:
        """Move what waits along with the clock, in small steps. After `StoreUnavailable` call again."""
        while self._noted and self._store is not None:
            by, now = self._noted[0]
            self._done = await self._store.shift(by, now=now, done=self._done)
            self._heartbeat.beat()
            if self._done is None:
                self._noted.popleft()
