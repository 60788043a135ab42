"""Whether the wall clock was set. Pure: both of a clock's times come as arguments.

Wall time and the time that has gone by run side by side; where one gains on the other by more than `TOLERANCE` from one
look to the next, somebody set the clock. Less than that is a clock being steered, which harms nobody: the look after it
begins anew.
"""

from datetime import datetime, timedelta
from typing import Final

#: A clock that is a little off is steered, not set; waits are not so exact that it matters.
TOLERANCE: Final = timedelta(seconds=10)
_NONE: Final = timedelta(0)


class ClockJumps:
    """Remembers how the two times stood to one another at the last look."""

    def __init__(self, now: datetime, elapsed: float) -> None:
        self._began = _began(now, elapsed)

    def since_last(self, now: datetime, elapsed: float) -> timedelta:
        """How far the wall clock was set forward since the last look; below zero: back; zero: not at all."""
        before, self._began = self._began, _began(now, elapsed)
        by = self._began - before
        return by if abs(by) > TOLERANCE else _NONE


def _began(now: datetime, elapsed: float) -> datetime:
    """What the wall clock, as it goes now, would have shown when nothing had gone by."""
    return now - timedelta(seconds=elapsed)
