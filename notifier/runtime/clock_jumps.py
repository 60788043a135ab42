"""Whether the wall clock was set. Pure: both of a clock's times are arguments.

Wall time and elapsed time advance alike. If they differ by more than `TOLERANCE` between two looks, somebody set the
clock. Less than that is a clock that is being slewed, which does no harm; each look is compared with the one before.
"""

from datetime import datetime, timedelta
from typing import Final

#: A clock that is a little off is slewed, not set; no wait is so exact that it matters.
TOLERANCE: Final = timedelta(seconds=10)


class ClockJumps:
    """Remembers the difference between the two times at the last look."""

    def __init__(self, now: datetime, elapsed: float) -> None:
        #: What the wall clock, as it goes now, would have shown when no time had elapsed.
        self._began = now - timedelta(seconds=elapsed)

    def since_last(self, now: datetime, elapsed: float) -> timedelta:
        """How far the wall clock was set forward since the last look; below zero: back; zero: not at all."""
        before, self._began = self._began, now - timedelta(seconds=elapsed)
        by = self._began - before
        return by if abs(by) > TOLERANCE else timedelta(0)
