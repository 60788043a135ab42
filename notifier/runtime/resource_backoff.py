"""How to go on where this machine has too little for another attempt. Pure: monotonic seconds come as arguments.

Rules:
- Nothing begins for a second, and twice as long each time that it happens again at once, up to half a minute: a machine
  without descriptors fails so quickly that a loop would do nothing else.
- After that no more attempts at a time are made than half of what there were when it happened, for a minute.
- Many that fail together are one sign, and an attempt that began before says nothing new: not that it is over either.
"""

from typing import Final

FIRST: Final = 1.0
LONGEST: Final = 30.0
#: Seconds for which fewer attempts are made at a time.
CAREFUL: Final = 60.0
#: Doublings after which the rest is at its longest; keeps the power small.
_DOUBLINGS: Final = 10


class ResourceBackoff:
    """Of all attempts together, or of all requests to one provider."""

    def __init__(self) -> None:
        #: Times in a row that there was too little.
        self._failures = 0
        #: When that was seen last, and until when nothing begins.
        self._failed_at = float("-inf")
        self._until = float("-inf")
        self._most: int | None = None

    @property
    def met(self) -> bool:
        """Whether there was too little, and no attempt worked since."""
        return self._failures > 0

    def failed(self, *, began: float, now: float, in_flight: int) -> None:
        """An attempt that began then came to nothing for this; so many were under way, it included."""
        if began < self._until:
            return
        self._failures += 1
        self._failed_at = now
        self._until = now + min(LONGEST, FIRST * 2.0 ** min(self._failures - 1, _DOUBLINGS))
        self._most = max(1, in_flight // 2)

    def succeeded(self, *, began: float) -> bool:
        """An attempt got through; True where that shows that it is over."""
        if not self.met or began < self._until:
            return False
        self._failures = 0
        return True

    def room(self, *, now: float, in_flight: int) -> int | None:
        """Attempts that may begin now; None is no limit of ours."""
        if now < self._until:
            return 0
        if not self.met and now - self._failed_at >= CAREFUL:
            self._most = None
        if self._most is None:
            return None
        return max(0, self._most - in_flight)

    def wait(self, now: float) -> float:
        """Seconds until something may begin; 0 or less where that is now."""
        return self._until - now
