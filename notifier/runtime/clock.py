"""The only module that reads the real clock. All other code gets `now`, or a Clock, as an argument.

Wall time (`now`) is for what is stored and shown: it may jump. Monotonic time is for waiting: it does not jump.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """Wall time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment: only differences have a meaning."""
        ...


class JumpClock(Clock, Protocol):
    """A clock that shows whether its wall time was set."""

    def elapsed(self) -> float:
        """Seconds since some moment, the machine's sleep included; never set."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def elapsed(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME) if _KNOWS_SLEEP else time.monotonic()


#: False except on Linux: elsewhere a machine that slept looks like a clock that was set.
_KNOWS_SLEEP = hasattr(time, "CLOCK_BOOTTIME")
