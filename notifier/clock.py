"""The one reader of the real clock. Everything else takes `now`, or a Clock, as an argument.

Wall time (`now`) is for what is written down and shown: it may jump. Monotonic time is for waiting: it does not.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """Wall time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; only differences mean anything."""
        ...


class JumpClock(Clock, Protocol):
    """A clock on which can be seen that its wall time was set."""

    def elapsed(self) -> float:
        """Seconds since some moment, the time that the machine slept included; never set."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def elapsed(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME) if _KNOWS_SLEEP else time.monotonic()


#: False off Linux: there a machine that slept looks like a clock that was set.
_KNOWS_SLEEP = hasattr(time, "CLOCK_BOOTTIME")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_micros(moment: datetime) -> int:
    """Whole microseconds since 1970-01-01 UTC, exactly: the form times are stored in."""
    gone = moment - _EPOCH
    return (gone.days * 86_400 + gone.seconds) * 1_000_000 + gone.microseconds


def from_micros(micros: int) -> datetime:
    """The inverse of `to_micros`."""
    return _EPOCH + timedelta(microseconds=micros)


def iso(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, as callbacks and reports write it: `2026-11-22T05:14:00.123Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
