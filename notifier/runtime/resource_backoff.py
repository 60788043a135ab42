"""Exponential backoff if this machine has too few resources for another attempt. Pure: seconds are arguments.

Rules:
- No attempt begins for `FIRST * 2 ** (failures in a row - 1)` seconds, up to `LONGEST`: a machine without descriptors
  fails so quickly that a loop would do nothing else.
- After that there are half as many attempts at a time as when it failed, for `CAREFUL` seconds.
- Many that fail together count once: an attempt that began before the wait ended says nothing new, whether it fails or
  succeeds.
"""

from typing import Final

FIRST: Final = 1.0
LONGEST: Final = 30.0
#: Seconds for which fewer attempts are made at a time.
CAREFUL: Final = 60.0
#: Doublings after which the wait is at its longest; keeps the power small.
_DOUBLINGS: Final = 10


class ResourceBackoff:
    """For all attempts together, or for all requests to one provider."""

    def __init__(self) -> None:
        #: Failures in a row.
        self._failures = 0
        #: When the last failure was, and until when nothing begins.
        self._failed_at = float("-inf")
        self._until = float("-inf")
        self._most: int | None = None

    @property
    def active(self) -> bool:
        """Whether an attempt failed for lack of resources, and none succeeded since."""
        return self._failures > 0

    def failed(self, *, began: float, now: float, in_flight: int) -> None:
        """Note that an attempt that began at `began` failed for this reason; `in_flight` counts it too."""
        if began < self._until:
            return
        self._failures += 1
        self._failed_at = now
        self._until = now + min(LONGEST, FIRST * 2.0 ** min(self._failures - 1, _DOUBLINGS))
        self._most = max(1, in_flight // 2)

    def succeeded(self, *, began: float) -> bool:
        """Note that an attempt was made; True if that shows that the shortage is over."""
        if not self.active or began < self._until:
            return False
        self._failures = 0
        return True

    def room(self, *, now: float, in_flight: int) -> int | None:
        """Attempts that may begin now; None if there is no limit."""
        if now < self._until:
            return 0
        if not self.active and now - self._failed_at >= CAREFUL:
            self._most = None
        if self._most is None:
            return None
        return max(0, self._most - in_flight)

    def wait(self, now: float) -> float:
        """Seconds until an attempt may begin; 0 or less if one may now."""
        return self._until - now
