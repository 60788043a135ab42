"""Whether the wall clock was set. Pure: both of a clock's times are arguments.

Wall time and elapsed time advance alike. If they differ by more than `TOLERANCE` between two looks, the clock was set.
If they differ by less, it is being slewed, which does no harm. Each look is compared with the one before.
"""

from datetime import datetime, timedelta
from typing import Final

#: A clock that is a little off is slewed, not set; no wait is so exact that it matters.
TOLERANCE: Final = timedelta(seconds=10)


class ClockJumps:
    """Remembers the difference between the two times at the last look."""

    def __init__(self, now: datetime, elapsed: float) -> None:
        #: The wall time minus the elapsed time, at the last look.
        self._began = now - timedelta(seconds=elapsed)

    def since_last(self, now: datetime, elapsed: float) -> timedelta:
        """How far the wall clock was set forward since the last look; below zero: back; zero: not at all."""
        before, self._began = self._began, now - timedelta(seconds=elapsed)
        by = self._began - before
        return by if abs(by) > TOLERANCE else timedelta(0)
