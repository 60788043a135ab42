"""How many requests a second: a token bucket. Pure: monotonic seconds come as arguments."""

from typing import Final

#: Of a token; what rounding may take away.
_GRAIN: Final = 1e-6


class TokenBucket:
    """At most `rate` requests a second over time, and one second's worth (at least one) at a time. Starts full."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._capacity = max(1.0, rate)
        self._tokens = self._capacity
        self._filled_at: float | None = None

    def available(self, now: float) -> int:
        """Whole requests that may be made now."""
        self._fill(now)
        return int(self._tokens + _GRAIN)

    def take(self, now: float, n: int = 1) -> bool:
        """Take `n` tokens, or none of them."""
        if self.available(now) < n:
            return False
        self._tokens = max(0.0, self._tokens - n)
        return True

    def wait(self, now: float) -> float:
        """Seconds until there is one token; 0 where there is one now."""
        return 0.0 if self.available(now) else (1.0 - self._tokens) / self.rate

    def _fill(self, now: float) -> None:
        if self._filled_at is not None and now > self._filled_at:
            self._tokens = min(self._capacity, self._tokens + (now - self._filled_at) * self.rate)
        self._filled_at = now if self._filled_at is None else max(now, self._filled_at)
