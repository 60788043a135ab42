"""How many requests a second: a token bucket. Pure: monotonic seconds come as arguments."""

from collections import deque
from math import ceil
from typing import Final

#: Of a token, and of a second; what rounding may take away.
_GRAIN: Final = 1e-6


class TokenBucket:
    """At most `rate` requests a second over time, one second's worth (at least one) at a time. Starts full.

    A bucket alone would let twice that through in the second after a pause: what it held, and what fills it meanwhile.
    So what was taken within the last second counts too: no second, wherever it begins, has more than `rate`, rounded
    up to a whole number.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._tokens = max(1.0, rate)
        self._filled_at: float | None = None
        #: Tokens in one second at most.
        self._most = ceil(max(1.0, rate))
        #: When the tokens of the last second were taken.
        self._taken: deque[float] = deque()

    def pace(self, rate: float) -> None:
        """Go by another rate; what was taken lately still counts."""
        if rate != self.rate:
            self.rate = rate
            self._tokens = min(self._tokens, max(1.0, rate))
            self._most = ceil(max(1.0, rate))

    def available(self, now: float) -> int:
        """Whole requests that may be made now."""
        self._fill(now)
        return min(int(self._tokens + _GRAIN), self._unused(now))

    def full(self, now: float) -> bool:
        """Whether nothing was taken lately."""
        self._fill(now)
        return self._tokens >= max(1.0, self.rate) - _GRAIN

    def take(self, now: float, n: int = 1) -> bool:
        """Take `n` tokens, or none of them."""
        if self.available(now) < n:
            return False
        self.spend(now, n)
        return True

    def spend(self, now: float, n: int = 1) -> None:
        """Count `n` requests that are made whatever the bucket holds."""
        self._unused(now)  # or the list would grow while nobody asks what is available
        self._fill(now)
        self._tokens = max(0.0, self._tokens - n)
        self._taken.extend([now] * n)

    def unused(self, now: float) -> bool:
        """Whether it is as good as a new one."""
        return self.full(now) and self._unused(now) == self._most

    def wait(self, now: float) -> float:
        """Seconds until there is one token; 0 where there is one now."""
        if self.available(now):
            return 0.0
        tokens = (1.0 - self._tokens) / self.rate if self._tokens < 1.0 - _GRAIN else 0.0
        return max(tokens, 0.0 if self._unused(now) else self._taken[-self._most] + 1.0 - now)

    def _unused(self, now: float) -> int:
        """What is left of this second."""
        taken = self._taken
        while taken and taken[0] <= now - 1.0 + _GRAIN:
            taken.popleft()
        return max(0, self._most - len(taken))

    def _fill(self, now: float) -> None:
        if self._filled_at is not None and now > self._filled_at:
            self._tokens = min(max(1.0, self.rate), self._tokens + (now - self._filled_at) * self.rate)
        self._filled_at = now if self._filled_at is None else max(now, self._filled_at)
