"""How many requests a second: a token bucket. Pure: monotonic seconds are arguments."""

from collections import deque
from math import ceil
from typing import Final

#: Tolerance for rounding, in tokens and in seconds.
_ROUNDING: Final = 1e-6


class TokenBucket:
    """At most `rate` requests a second over time. It holds the tokens of one second, at least one, and starts full.

    A plain token bucket lets twice that through in the second after a pause: its content, and the refill of that
    second. So the tokens taken within the last second count too: no interval of one second has more than `rate`
    requests, rounded up to a whole number.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._tokens = max(1.0, rate)
        self._filled_at: float | None = None
        #: The most tokens in one second.
        self._most = ceil(max(1.0, rate))
        #: When the tokens of the last second were taken.
        self._taken: deque[float] = deque()

    def pace(self, rate: float) -> None:
        """Change the rate; the tokens that were taken in the last second still count."""
        if rate != self.rate:
            self.rate = rate
            self._tokens = min(self._tokens, max(1.0, rate))
            self._most = ceil(max(1.0, rate))

    def available(self, now: float) -> int:
        """Whole requests that may be made now."""
        self._fill(now)
        return min(int(self._tokens + _ROUNDING), self._unused(now))

    def full(self, now: float) -> bool:
        """Whether it is filled."""
        self._fill(now)
        return self._tokens >= max(1.0, self.rate) - _ROUNDING

    def take(self, now: float, n: int = 1) -> bool:
        """Take `n` tokens, or none of them."""
        if self.available(now) < n:
            return False
        self.spend(now, n)
        return True

    def spend(self, now: float, n: int = 1) -> None:
        """Count `n` requests, even if there are fewer tokens."""
        self._unused(now)  # otherwise the list would grow while nobody asks what is available
        self._fill(now)
        self._tokens = max(0.0, self._tokens - n)
        self._taken.extend([now] * n)

    def unused(self, now: float) -> bool:
        """Whether it equals a new one."""
        return self.full(now) and self._unused(now) == self._most

    def wait(self, now: float) -> float:
        """Seconds until there is one token; 0 if there is one now."""
        if self.available(now):
            return 0.0
        tokens = (1.0 - self._tokens) / self.rate if self._tokens < 1.0 - _ROUNDING else 0.0
        return max(tokens, 0.0 if self._unused(now) else self._taken[-self._most] + 1.0 - now)

    def _unused(self, now: float) -> int:
        """The tokens that are left for this second."""
        taken = self._taken
        while taken and taken[0] <= now - 1.0 + _ROUNDING:
            taken.popleft()
        return max(0, self._most - len(taken))

    def _fill(self, now: float) -> None:
        if self._filled_at is not None and now > self._filled_at:
            self._tokens = min(max(1.0, self.rate), self._tokens + (now - self._filled_at) * self.rate)
        self._filled_at = now if self._filled_at is None else max(now, self._filled_at)
