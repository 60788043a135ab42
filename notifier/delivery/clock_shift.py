"""Shifts due times when the wall clock is set, so that every wait keeps its length.

Due times are stored as wall time, for people and for the next run. So if the clock is set back by an hour, a message
due in five seconds would wait an hour and five seconds. If it is set forward by an hour, the retries of an hour would
all be due at once; by five days, and an endpoint that failed for a minute would be disabled. So the due times in the
store, and since when endpoints fail, are moved with the clock, before anything is handed in or claimed.

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
        #: (how far, what the clock showed then) for each jump that the store has not followed yet.
        self._jumped: deque[tuple[timedelta, datetime]] = deque()
        #: How far the store has followed the first of them.
        self._done: ShiftProgress | None = None

    def jumped(self) -> timedelta:
        """How far the wall clock was set since this was last asked; `follow` has the store follow."""
        now = self._clock.now()
        if by := self._jumps.since_last(now, self._clock.elapsed()):
            note = "what is due, and since when endpoints fail, goes by the store's own clock: neither changes"
            if self._store is not None:
                self._jumped.append((by, now))
                note = "pending callbacks, and since when endpoints fail, move with it: no wait gets longer or shorter"
            _log.warning(log_events.CLOCK_JUMPED, by_s=round(by.total_seconds()), note=note)
        return by

    async def follow(self) -> None:
        """Have the store shift its due times, in small steps. After `StoreUnavailable` call again."""
        while self._jumped and self._store is not None:
            by, now = self._jumped[0]
            self._done = await self._store.shift(by, now=now, done=self._done)
            self._heartbeat.beat()
            if self._done is None:
                self._jumped.popleft()
